"""The overhead of the engine beside NumPy and PyTorch: one op, a small step, a long chain, memory.

    python benchmarks/overhead.py [--json FILE]

Times are taken in turns within one run; on a shared machine only their ratios are reliable.
Without PyTorch its rows are left out.
"""

import argparse
import gc
import importlib.util
import json
import time
from itertools import pairwise

import numpy as np
from measuring import Child, compare, compile_kernels, cores, new_file
from workloads import SMALL

import minigen as mg

HAS_TORCH = importlib.util.find_spec("torch") is not None


def multiply_by_two() -> tuple:
    """x * 2 on a tensor of four floats with a graph, beside the same in NumPy."""
    x = mg.ones(4, requires_grad=True)
    raw = np.ones(4, np.float32)
    return compare(lambda: x * 2, lambda: raw * 2, repeats=2000, rounds=101)


def tanh_net() -> tuple:
    """A step of a 2-16-16-1 tanh net on 32 points (forward, backward, SGD), beside PyTorch."""
    from workloads import ours, theirs

    return compare(ours.tanh(32)[0], theirs.tanh(32)[0], repeats=20, rounds=101)


def chain(length: int) -> tuple[float, float, float]:
    """Microseconds per op of a chain of x + 1: (forward, backward, freeing it), no collector."""
    gc.disable()
    x = mg.ones(2, requires_grad=True)
    times, y = [time.perf_counter()], x
    for _ in range(length):
        y = y + 1.0
    times.append(time.perf_counter())
    y.sum().backward()
    times.append(time.perf_counter())
    del y
    times.append(time.perf_counter())
    gc.enable()
    return tuple((b - a) / length * 1e6 for a, b in pairwise(times))


def vae_memory(implementation: str) -> int:
    """The bytes that ten steps of a VAE need, measured in a child process."""
    with Child(implementation, *SMALL["vae"], cores()) as child:
        child.ask("seconds", 10)
        return child.ask("memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=new_file, help="write the rows to this file too")
    parser.add_argument("--chain", type=int, default=1_000_000, help="ops in the chain")
    args = parser.parse_args()
    rows = []

    def row(name, ours, other, ratio, unit):
        rows.append({"name": name, "minigen": ours, "other": other, "ratio": ratio, "unit": unit})
        print(f"{name:<42}{ours:>10.2f}{other:>10.2f}  {unit:<4}{ratio:>7.2f}", flush=True)

    print(f"{'':<42}{'minigen':>10}{'other':>10}{'ratio':>13}")
    ours, numpy, ratio = multiply_by_two()
    row("traced x * 2, four floats / NumPy", ours * 1e6, numpy * 1e6, ratio, "us")
    if HAS_TORCH:
        ours, torch, ratio = tanh_net()
        row("step of a 2-16-16-1 tanh net / PyTorch", ours * 1e3, torch * 1e3, ratio, "ms")
        compile_kernels(*SMALL["vae"], cores())
        ours, torch = vae_memory("ours"), vae_memory("theirs")
        if ours:  # None without /proc, that is, not on Linux
            row("memory of a VAE step / PyTorch", ours / 1e6, torch / 1e6, ours / torch, "MB")
    short, long = chain(args.chain // 10), chain(args.chain)
    for part, a, b in zip(("forward", "backward", "free"), long, short):
        row(f"chain of {args.chain:,} ops, {part} / a tenth", a, b, a / b, "us")
    if args.json:
        json.dump(rows, args.json, indent=1)


if __name__ == "__main__":
    main()
