"""Measures time and memory in child processes, one for each implementation; prints table lines.

An implementation is a module of `workloads`: "ours" (minigen), "theirs" (PyTorch) or "products"
(NumPy). This file imports none of them, so that a child has only its own one in memory.
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
    """The mean time of one call, over `repeats` calls in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def compare(ours: Callable, theirs: Callable, repeats: int, rounds: int) -> tuple:
    """(least time of ours, of theirs, median over rounds of the ratio ours / theirs)."""
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
    """Argparse type: a file to write, opened before anything is measured."""
    try:
        return open(text, "w")
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {text}: {error.strerror}") from None


def known_names(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Argparse type: a list of names from choices, separated by commas."""

    def names(text):
        for name in text.split(","):
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(choices)}")
        return text.split(",")

    return names


def line(name: str, cells: list, width: int = 14) -> None:
    """Print a line of a table. Cells are words, numbers, or None where nothing was measured."""
    words = ["-" if x is None else x if isinstance(x, str) else f"{x:.2f}" for x in cells]
    print(f"{name:<{width}}" + "".join(f"{word:>12}" for word in words), flush=True)


def scaled(values: dict, implementation: str, factor: float) -> float | None:
    """The value of an implementation times factor; None if it has none."""
    value = values.get(implementation)
    return None if value is None else value * factor


# ------------------------------------------------------------------------- child processes

# The shapes of the net's parameters, and the functions that answer questions, by name.
Opened = tuple[list | None, dict[str, Callable]]


def on_cpu(implementation: str, net: str, sizes: dict, threads: int) -> Opened:
    """A workload on the CPU, timed by the clock of the host."""
    workloads = importlib.import_module(f"workloads.{implementation}")
    workloads.set_threads(threads)
    # Numba's compiler and PyTorch's libraries are loaded at first use: 65 and 80 MB that belong
    # to the imports, not to the net.
    seconds(workloads.tanh(32)[0], 2)
    before = resident_bytes("VmRSS")
    step, shapes = getattr(workloads, net)(**sizes)
    return shapes, {
        "seconds": lambda repeats: seconds(step, repeats),
        "memory": lambda: before and resident_bytes("VmHWM") - before,
        "profile": lambda repeats: workloads.profile(step, repeats),
    }


def on_gpu(
    implementation: str, net: str, sizes: dict, _: int, captured: bool, precision: str
) -> Opened:
    """A workload on a GPU, timed by CUDA events, after its first steps."""
    workloads = importlib.import_module(f"workloads.{implementation}")
    workloads.set_precision(precision)
    step, shapes = getattr(workloads, net)(**sizes, device="cuda")
    step = workloads.prepared(step, captured)
    return shapes, {
        "seconds": lambda repeats: workloads.device_seconds(step, repeats),
        "memory": lambda: workloads.device_bytes(step),
    }


def serve(pipe, open_workload: Callable[..., Opened], *workload: Any) -> None:
    """The main function of a child: sends the shapes of its parameters, then answers questions."""
    shapes, answers = open_workload(*workload)
    pipe.send(shapes)
    for question, *values in iter(pipe.recv, None):
        pipe.send(answers[question](*values))


class ChildFailed(SystemExit):
    """A child process ended before it was told to."""


class Child:
    """A process with one workload, which runs only while it answers a question.

    Questions: ("seconds", repeats), the time of a step; ("memory",), the peak resident size less
    that before the net was built, or the memory held on a GPU; and of minigen on the CPU
    ("profile", repeats), the time of each op.
    """

    def __init__(
        self,
        implementation: str,
        net: str,
        sizes: dict,
        threads: int,
        open_workload: Callable = on_cpu,
    ):
        for library in ("OPENBLAS", "MKL", "OMP"):  # read as NumPy is imported
            os.environ[f"{library}_NUM_THREADS"] = str(threads)
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        arguments = (end, open_workload, implementation, net, sizes, threads)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        end.close()  # or else recv() would wait forever after the child has ended

    def __enter__(self) -> "Child":
        self.shapes = self._answer()
        return self

    def __exit__(self, error, *_):
        if error is None:
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


def compile_kernels(net: str, sizes: dict, threads: int) -> None:
    """Fill Numba's cache with minigen's kernels, so that no measured child compiles them."""
    with Child("ours", net, sizes, threads) as child:
        child.ask("seconds", 1)
