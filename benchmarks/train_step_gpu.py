"""Training steps on a GPU: minigen's beside PyTorch's, and the GPU beside the CPU.

    python benchmarks/train_step.py --device cuda [--only NAME,NAME] [--pairs N] [--precision high]
    python benchmarks/train_step.py --crossover     from which size on the GPU is faster

Float32, or TF32 in all products with --precision high; input on the GPU; Adam but for the tanh
net. "captured" steps are one CUDA graph, of minigen.training.capture or torch.cuda.CUDAGraph.
PyTorch has its fused Adam and cuDNN's fastest convolutions, but is not compiled. Each side has a
process; they take turns, of several steps in a row between two CUDA events. Times and ratios are
medians over the turns. Memory is the most that a side's allocator held of the GPU behind its
first steps: total_bytes of CuPy's pools, torch.cuda.max_memory_reserved. All sides lie there at
once. One that finds no room or fails is "-", its error above.
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
TURN = 0.05  # seconds: so many steps make a turn
OURS = {"minigen": ("ours", False), "minigen captured": ("ours", True)}
THEIRS = {"PyTorch": ("theirs", False), "PyTorch captured": ("theirs", True)}


def need_gpu() -> None:
    """Ends the program with a sentence where minigen finds no GPU."""
    try:
        cupy()
    except BackendUnavailable as error:
        raise SystemExit(f"BackendUnavailable: {error}") from None


def pytorch_finds_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def starts(sides: dict, kind: str, sizes: dict, precision: str) -> dict[str, Callable[[], Child]]:
    """What starts the child of each side on the GPU."""

    def start(side, captured):
        place = partial(on_gpu, captured=captured, precision=precision)
        return Child(side, kind, sizes, 1, place=place)

    return {name: partial(start, *how) for name, how in sides.items()}


def take_turns(sides: dict[str, Callable[[], Child]], beside: str, args) -> dict:
    """What is measured of one workload, of the sides that run; ratios to the side `beside`."""
    times, repeats = {}, {}
    with ExitStack() as stack:
        children = {}
        for side, start in sides.items():
            with suppress(ChildFailed):  # it has printed its error
                children[side] = stack.enter_context(start())
        shapes = [child.shapes for child in children.values()]
        if any(other != shapes[0] for other in shapes):
            raise SystemExit(f"the nets differ: {shapes}")
        for side, child in children.items():
            child.ask("seconds", args.warm_up)
            repeats[side] = math.ceil(TURN / child.ask("seconds", args.warm_up))
            times[side] = []
        for _ in range(args.pairs):
            for side, child in children.items():
                times[side].append(child.ask("seconds", repeats[side]))
        held = {side: child.ask("memory") for side, child in children.items()}
    ratio = lambda side: median(a / b for a, b in zip(times[side], times[beside]))
    return {
        "parameters": sum(map(math.prod, shapes[0])) if shapes else None,
        "pairs": args.pairs,
        "seconds": {side: median(times[side]) for side in children},
        "ratio": {side: ratio(side) for side in children if beside in children},
        "bytes": held,
    }


def milliseconds(row: dict, side: str) -> str | None:
    """A time for a table, to the microsecond: a small graph takes a few of them."""
    return f"{1e3 * row['seconds'][side]:.3f}" if side in row["seconds"] else None


def gpu_table(args: argparse.Namespace) -> list[dict]:
    """The workloads on the GPU, one a line: milliseconds, ratios to PyTorch's eager step, MB."""
    need_gpu()
    sides, rows = {**OURS, **(THEIRS if pytorch_finds_gpu() else {})}, []
    # Eager sides first: they are what is left where there is no room for all.
    sides = dict(sorted(sides.items(), key=lambda item: item[1][1]))
    line(
        "",
        ["minigen ms", "captured", "PyTorch ms", "captured", "ratio", "captured"]
        + ["minigen MB", "captured", "PyTorch MB", "captured"],
    )
    for name in args.only:
        started = starts(sides, *WORKLOADS[name], args.precision)
        row = {"name": name, **take_turns(started, "PyTorch", args)}
        ms = [milliseconds(row, side) for side in (*OURS, *THEIRS)]
        mb = [scaled(row["bytes"], side, 1e-6) for side in (*OURS, *THEIRS)]
        line(name, [*ms, *(row["ratio"].get(side) for side in OURS), *mb])
        rows.append(row)
    return rows


def crossover_table(args: argparse.Namespace) -> list[dict]:
    """minigen's steps of growing size on CPU and GPU, and from which size on the GPU is faster."""
    need_gpu()
    rows = []
    line("", ["CPU ms", "GPU ms", "captured", "GPU / CPU", "captured"], 24)
    for name, size, values in CROSSOVER:
        kind, sizes = WORKLOADS[name]
        series = []
        for value in values:
            changed = {**sizes, size: value}
            started = {"CPU": partial(Child, "ours", kind, changed, args.threads)}
            started |= starts(OURS, kind, changed, args.precision)
            row = {"name": name, size: value, **take_turns(started, "CPU", args)}
            ms = [milliseconds(row, side) for side in started]
            line(f"{name}, {size} {value}", [*ms, *(row["ratio"].get(side) for side in OURS)], 24)
            series.append(row)
        for side in OURS:
            print(f"  {side}: {wins(series, side, size)}")
        rows += series
    return rows


def wins(series: list[dict], side: str, size: str) -> str:
    """From which size on a side is faster than the CPU, in words."""
    ratios = [(row[size], row["ratio"][side]) for row in series if side in row["ratio"]]
    if not ratios:
        return "not measured"
    first = None
    for value, ratio in reversed(ratios):
        if ratio >= 1:
            break
        first = value
    return "not faster than the CPU" if first is None else f"faster from {size} {first} on"
