"""Training steps on a GPU: minigen beside PyTorch, and the GPU beside the CPU.

    python benchmarks/train_step.py --device cuda [--only NAME,NAME] [--pairs N] [--precision high]
    python benchmarks/train_step.py --crossover     the size from which the GPU is faster

Float32, or TF32 in all products with --precision high; input on the GPU; SGD for the tanh net and
Adam for all others. A "captured" step is one CUDA graph, by minigen.training.capture or
torch.cuda.CUDAGraph. PyTorch has its fused Adam and cuDNN's fastest convolutions, but is not
compiled. Each implementation has a process. They take turns of several steps in a row between two
CUDA events; times and ratios are medians over the turns. Memory is the most that an allocator held
of the GPU after its first steps: total_bytes of CuPy's pools, torch.cuda.max_memory_reserved. All
processes hold their memory at the same time. One that fails, or for which there is too little
memory, is "-" in the table, with its error printed above.
"""

import argparse
import importlib.util
import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from statistics import median

from measuring import Child, ChildFailed, line, on_gpu, scaled
from workloads import CROSSOVER, HUGE, LARGE, SMALL

from minigen.backend.arrays import cupy
from minigen.errors import BackendUnavailable

WORKLOADS = {**SMALL, **LARGE, **HUGE}
TURN_SECONDS = 0.05  # steps are repeated until a turn takes this long
# name in the table: (module of workloads, whether the step is captured)
OURS = {"minigen": ("ours", False), "minigen captured": ("ours", True)}
THEIRS = {"PyTorch": ("theirs", False), "PyTorch captured": ("theirs", True)}


def need_gpu() -> None:
    """Exit with a sentence if minigen finds no GPU."""
    try:
        cupy()
    except BackendUnavailable as error:
        raise SystemExit(f"BackendUnavailable: {error}") from None


def pytorch_finds_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def starters(
    implementations: dict, net: str, sizes: dict, precision: str
) -> dict[str, Callable[[], Child]]:
    """For each implementation a function that starts its child on the GPU."""

    def start(module, captured):
        open_workload = partial(on_gpu, captured=captured, precision=precision)
        return Child(module, net, sizes, 1, open_workload=open_workload)

    return {name: partial(start, *settings) for name, settings in implementations.items()}


def take_turns(implementations: dict[str, Callable[[], Child]], baseline: str, args) -> dict:
    """Measure one workload, with all implementations that run; ratios are to the baseline."""
    times, repeats = {}, {}
    with ExitStack() as stack:
        children = {}
        for name, start in implementations.items():
            with suppress(ChildFailed):  # it has printed its error
                children[name] = stack.enter_context(start())
        shapes = [child.shapes for child in children.values()]
        if any(other != shapes[0] for other in shapes):
            raise SystemExit(f"the nets differ: {shapes}")
        for name, child in children.items():
            child.ask("seconds", args.warm_up)
            repeats[name] = math.ceil(TURN_SECONDS / child.ask("seconds", args.warm_up))
            times[name] = []
        for _ in range(args.pairs):
            for name, child in children.items():
                times[name].append(child.ask("seconds", repeats[name]))
        held = {name: child.ask("memory") for name, child in children.items()}
    ratio = lambda name: median(a / b for a, b in zip(times[name], times[baseline]))
    return {
        "parameters": sum(map(math.prod, shapes[0])) if shapes else None,
        "pairs": args.pairs,
        "seconds": {name: median(times[name]) for name in children},
        "ratio": {name: ratio(name) for name in children if baseline in children},
        "bytes": held,
    }


def milliseconds(row: dict, name: str) -> str | None:
    """A time in milliseconds with three digits: a small graph takes a few microseconds."""
    return f"{1e3 * row['seconds'][name]:.3f}" if name in row["seconds"] else None


def gpu_table(args: argparse.Namespace) -> list[dict]:
    """One line per workload on the GPU: milliseconds, ratios to PyTorch's eager step, MB."""
    need_gpu()
    implementations, rows = {**OURS, **(THEIRS if pytorch_finds_gpu() else {})}, []
    # Eager steps first: if memory does not suffice for all, the captured ones are left out.
    implementations = dict(sorted(implementations.items(), key=lambda item: item[1][1]))
    line(
        "",
        ["minigen ms", "captured", "PyTorch ms", "captured", "ratio", "captured"]
        + ["minigen MB", "captured", "PyTorch MB", "captured"],
    )
    for name in args.only:
        start = starters(implementations, *WORKLOADS[name], args.precision)
        row = {"name": name, **take_turns(start, "PyTorch", args)}
        ms = [milliseconds(row, each) for each in (*OURS, *THEIRS)]
        mb = [scaled(row["bytes"], each, 1e-6) for each in (*OURS, *THEIRS)]
        line(name, [*ms, *(row["ratio"].get(each) for each in OURS), *mb])
        rows.append(row)
    return rows


def crossover_table(args: argparse.Namespace) -> list[dict]:
    """Steps of growing size on CPU and GPU, and the size from which the GPU is faster."""
    need_gpu()
    rows = []
    line("", ["CPU ms", "GPU ms", "captured", "GPU / CPU", "captured"], 24)
    for name, size, values in CROSSOVER:
        net, sizes = WORKLOADS[name]
        series = []
        for value in values:
            changed = {**sizes, size: value}
            start = {"CPU": partial(Child, "ours", net, changed, args.threads)}
            start |= starters(OURS, net, changed, args.precision)
            row = {"name": name, size: value, **take_turns(start, "CPU", args)}
            ms = [milliseconds(row, each) for each in start]
            line(f"{name}, {size} {value}", [*ms, *(row["ratio"].get(each) for each in OURS)], 24)
            series.append(row)
        for implementation in OURS:
            print(f"  {implementation}: {wins(series, implementation, size)}")
        rows += series
    return rows


def wins(series: list[dict], name: str, size: str) -> str:
    """A phrase on the size from which an implementation is faster than the CPU."""
    ratios = [(row[size], row["ratio"][name]) for row in series if name in row["ratio"]]
    if not ratios:
        return "not measured"
    first = None
    for value, ratio in reversed(ratios):
        if ratio >= 1:
            break
        first = value
    return "not faster than the CPU" if first is None else f"faster from {size} {first} on"
