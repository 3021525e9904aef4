"""From a CUDA file to a launch: each `.cu` beside this file is compiled once for each dtype.

Kernels get arrays as pointers, Python ints as `long long` (count), floats as `double` and None
as a null pointer. Arrays must be C-contiguous: `dense` makes them so.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, cupy
from minigen.backend.devices import capturing

FOLDER = Path(__file__).parent
THREADS = 256  # a block, unless a kernel has a reason for another number
OPTIONS = ("-std=c++17",)
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def source(file: str, dtype: np.dtype) -> str:
    """The CUDA C++ of a file, for `real` of that dtype."""
    common, own = ((FOLDER / name).read_text() for name in ("common.cuh", file))
    return f"typedef {C_TYPES[dtype]} real;\n{common}\n// ---- file {file}\n{own}"


@cache
def _module(file: str, dtype: np.dtype) -> Any:
    return cupy().RawModule(code=source(file, dtype), options=OPTIONS)


@cache
def _kernel(file: str, name: str, dtype: np.dtype) -> Any:
    return _module(file, dtype).get_function(name)


def launch(file: str, name: str, dtype: np.dtype, blocks: int, *args: Any, threads=THREADS) -> None:
    """Run a kernel on so many blocks; none where there is nothing to do."""
    if blocks:
        kernel = _kernel(file, name, dtype)
        kernel((blocks,), (threads,), tuple(map(_argument, args)))


def launch_items(file: str, name: str, dtype: np.dtype, items: int, *args: Any) -> None:
    """Run a kernel with a thread for each item; the number of items is its last argument."""
    launch(file, name, dtype, -(-items // THREADS), *args, items)


def _argument(x: Any) -> Any:
    if x is None:
        return np.uintp(0)
    if type(x) is int:
        return np.int64(x)
    if isinstance(x, np.ndarray):  # CuPy hands over one element as if it were an address
        raise TypeError("a kernel on the GPU takes no arrays of the host")
    return np.float64(x) if type(x) is float else x


def host_values(values: np.ndarray) -> Array:
    """Values of the host on the device: in a captured graph, what they are at each replay."""
    recording = capturing.get()
    return cupy().asarray(values) if recording is None else recording.host_values(values)


def dense(x: Array | None, dtype: np.dtype | None = None) -> Array | None:
    """x, C-contiguous and of that dtype: itself, or a copy."""
    if x is None:
        return None
    if dtype is not None and x.dtype != dtype:
        x = x.astype(dtype)
    return x if x.flags.c_contiguous else cupy().ascontiguousarray(x)


def alike(*arrays):
    """Whether arrays (None apart) have one dtype, and one that kernels are compiled for."""
    dtypes = {x.dtype for x in arrays if x is not None}
    return len(dtypes) == 1 and dtypes <= C_TYPES.keys()


def result_dtype(*arrays: Array | None) -> np.dtype:
    """The dtype of what is computed from float arrays; None has no say."""
    return np.result_type(*(x.dtype for x in arrays if x is not None))


def constant(x: np.ndarray) -> Array:
    """A device copy of an array that does not change, kept for whoever asks for the same again."""
    if capturing.get() is not None:  # its copy would be recorded, but not where it copies from
        return host_values(x.copy())
    return _kept(x.tobytes(), x.dtype, x.shape, cupy().cuda.Device().id)


@lru_cache(256)
def _kept(data: bytes, dtype: np.dtype, shape: tuple[int, ...], device: int) -> Array:
    there = cupy().asarray(np.frombuffer(data, dtype).reshape(shape))
    cupy().cuda.get_current_stream().synchronize()  # whoever asks next may be on another stream
    return there
