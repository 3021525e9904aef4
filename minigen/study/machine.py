"""What the machine can do at best: bytes moved a second, and FLOPs of matrix products a second.

The two bound the time of an op: the roofline model (Williams, Waterman and Patterson 2009,
"Roofline: An Insightful Visual Performance Model for Multicore Architectures").
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from minigen.backend.devices import created_on, synchronize
from minigen.parallel.blas import hold_to_one_thread
from minigen.parallel.pool import get_num_threads

SECONDS = 0.1  # of each of the three measurements: half a second with what comes before them
# Rows of the factors: products of 1024 were as fast within 5 %, measured on two cores of a Xeon.
SIDE = 512
BYTES = 2**25  # of the array that is copied: more than fits in the caches of a core
GPU_SCALE = 8  # a GPU has many more lanes: factors of 4096 x 4096, and 2 GiB copied


class Machine(NamedTuple):
    """Speeds of a device: bandwidth in bytes per second, products in FLOPs per second."""

    device: str
    threads: int  # on a CPU
    bandwidth: float
    float32: float
    float64: float

    def peak(self, dtype: Any) -> float:
        """FLOPs per second of products in a dtype; what is not float64 is counted as float32."""
        return self.float64 if np.dtype(dtype) == np.float64 else self.float32

    def bound(self, flops: float, nbytes: float, dtype: Any) -> float:
        """The seconds that so much work takes at least."""
        return max(flops / self.peak(dtype), nbytes / self.bandwidth)

    def __str__(self) -> str:
        where = f"{self.threads} threads" if self.device == "cpu" else self.device
        where = "1 thread" if where == "1 threads" else where
        return (
            f"{where}: {self.bandwidth / 1e9:.0f} GB/s, products of {self.float32 / 1e9:.0f} "
            f"GFLOP/s in float32 and {self.float64 / 1e9:.0f} in float64"
        )


def machine_of(device: str = "cpu") -> Machine:
    """The speeds of a device, with the threads that minigen computes on now; measured once."""
    return _measured(device, get_num_threads() if device == "cpu" else 1)


@cache
def _measured(device: str, threads: int) -> Machine:
    if device == "cpu":
        hold_to_one_thread()  # each thread below calls NumPy's BLAS for itself
    with ThreadPoolExecutor(threads) as pool:
        rates = [_copies(device, threads, pool)]
        rates += [_products(device, threads, pool, dtype) for dtype in (np.float32, np.float64)]
    return Machine(device, threads, *rates)


def _copies(device: str, threads: int, pool: ThreadPoolExecutor) -> float:
    """Bytes per second that are read and written, where each thread copies its part of an array."""
    size = BYTES // 4 * (1 if device == "cpu" else GPU_SCALE**2)
    make = partial(created_on, device)
    pairs = [
        [make(lambda xp: xp.ones(size // threads, np.float32)) for _ in range(2)]
        for _ in range(threads)
    ]
    return 2 * sum(x.nbytes for x, _ in pairs) / _least_seconds(pool, _copy, pairs)


def _products(device: str, threads: int, pool: ThreadPoolExecutor, dtype: Any) -> float:
    """FLOPs per second of square products, one for each thread at a time."""
    side = SIDE * (1 if device == "cpu" else GPU_SCALE)
    make = partial(created_on, device)
    factors = [make(lambda xp: xp.ones((side, side), dtype)) for _ in range(threads)]
    triples = [(x, x, make(lambda xp: xp.empty((side, side), dtype))) for x in factors]
    return 2 * threads * side**3 / _least_seconds(pool, _multiply, triples)


def _copy(x: Any, y: Any) -> None:
    y[...] = x
    synchronize(y)


def _multiply(a: Any, b: Any, out: Any) -> None:
    a.dot(b, out=out)
    synchronize(out)


def _least_seconds(pool: ThreadPoolExecutor, function: Callable, calls: list) -> float:
    """The least time, of several turns, in which the pool calls function(*args) for all calls."""
    end, least = time.perf_counter() + SECONDS, float("inf")
    while True:
        start = time.perf_counter()
        for _ in pool.map(lambda args: function(*args), calls):
            pass
        now = time.perf_counter()
        least = min(least, now - start)
        if now > end:
            return max(least, 1e-9)
