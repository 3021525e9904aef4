"""How times and memory are taken: in turns, and in child processes with the workloads of a side;
and how the lines of a table are printed.

It imports neither minigen nor PyTorch, so that a child has in memory what it measures alone.
"""

import argparse
import importlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable
from typing import IO, Any


def seconds(function: Callable, repeats: int) -> float:
    """The time of one call, from `repeats` in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def compare(ours: Callable, theirs: Callable, repeats: int, rounds: int) -> tuple:
    """Least time of each, and the median over rounds of the ratio ours / theirs."""
    for function in (ours, theirs):
        seconds(function, repeats)
    pairs = [(seconds(ours, repeats), seconds(theirs, repeats)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    return min(a for a, _ in pairs), min(b for _, b in pairs), ratio


def resident_bytes(field: str) -> int | None:
    """The resident size of this process: now ("VmRSS") or at its peak ("VmHWM"). Linux only."""
    try:
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith(field))
    except OSError:
        return None
    return int(line.split()[1]) * 1024


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def new_file(text: str) -> IO[str]:
    """The type of a flag that is a file to write, which is opened before anything is measured."""
    try:
        return open(text, "w")
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {text}: {error.strerror}") from None


def known_names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """The type of a flag that is a list of names, with commas between."""

    def names(text):
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return text.split(",")

    return names


def line(name: str, cells: list, width: int = 14) -> None:
    """Prints a line of a table: words, numbers, and None for what was not measured."""
    words = ["-" if x is None else x if isinstance(x, str) else f"{x:.2f}" for x in cells]
    print(f"{name:<{width}}" + "".join(f"{word:>12}" for word in words), flush=True)


def scaled(values: dict, side: str, factor: float) -> float | None:
    """The value of a side in the unit of a column, None if there is none."""
    return None if values.get(side) is None else values[side] * factor


# ------------------------------------------------------------------------- child processes

Opened = tuple[list | None, dict[str, Callable]]  # the shapes that a net trains; answers by name


def on_cpu(side: str, kind: str, sizes: dict, threads: int) -> Opened:
    """A workload of a side, by the clock of the host."""
    workloads = importlib.import_module(f"workloads.{side}")
    workloads.set_threads(threads)
    # Numba's compiler and the libraries of PyTorch are loaded when first used: 65 and 80 MB
    # that are not the net's, and count as imports.
    seconds(workloads.tanh(32)[0], 2)
    before = resident_bytes("VmRSS")
    step, shapes = getattr(workloads, kind)(**sizes)
    return shapes, {
        "seconds": lambda repeats: seconds(step, repeats),
        "memory": lambda: before and resident_bytes("VmHWM") - before,
        "shares": lambda repeats: workloads.shares(step, repeats),
    }


def on_gpu(side: str, kind: str, sizes: dict, _: int, captured: bool, precision: str) -> Opened:
    """A workload of a side on a GPU, by its events; its first steps are done."""
    workloads = importlib.import_module(f"workloads.{side}")
    workloads.set_precision(precision)
    step, shapes = getattr(workloads, kind)(**sizes, device="cuda")
    step = workloads.prepared(step, captured)
    return shapes, {
        "seconds": lambda repeats: workloads.device_seconds(step, repeats),
        "memory": lambda: workloads.device_bytes(step),
    }


def serve(pipe, place: Callable[..., Opened], *workload: Any) -> None:
    """What runs in a child: it says the shapes that its net trains, then answers questions."""
    shapes, answers = place(*workload)
    pipe.send(shapes)
    for question, *values in iter(pipe.recv, None):
        pipe.send(answers[question](*values))


class ChildFailed(SystemExit):
    """A child process has ended before it was told to."""


class Child:
    """A process with a workload of one side, which does nothing but when it is asked.

    Questions: ("seconds", repeats) of a step; ("memory",), the peak resident size so far less
    that before the net, or what is held of a GPU; and of ours on a CPU ("shares", repeats).
    """

    def __init__(self, side: str, kind: str, sizes: dict, threads: int, place: Callable = on_cpu):
        for library in ("OPENBLAS", "MKL", "OMP"):  # read as NumPy is imported
            os.environ[f"{library}_NUM_THREADS"] = str(threads)
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        arguments = (end, place, side, kind, sizes, threads)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        end.close()  # or else the pipe would outlive the process, and wait for ever

    def __enter__(self) -> "Child":
        self.shapes = self._answer()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.pipe.send(None)
            self.process.join()

    def ask(self, *question: Any) -> Any:
        self.pipe.send(question)
        return self._answer()

    def _answer(self):
        try:
            return self.pipe.recv()
        except EOFError:
            raise ChildFailed("a child process failed; its error is printed above") from None


def compile_kernels(kind: str, sizes: dict, threads: int) -> None:
    """Leaves minigen's kernels in Numba's cache, that no child compiles them as it is measured."""
    with Child("ours", kind, sizes, threads) as child:
        child.ask("seconds", 1)
