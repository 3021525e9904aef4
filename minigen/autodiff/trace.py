"""Watching a run: the observer of the graph-building path, and what stands on it.

One observer at a time, none by default, and then at no cost. It runs each op's forward itself,
so it can time it; it knows the line of the user's code and the module that called; and in the
walk back it sees the cotangents of each node.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minigen.autodiff.graph import Node, Traced, trace_observer
from minigen.autodiff.primitives import Op

PACKAGE = str(Path(__file__).parent.parent) + os.sep


class Observer:
    """Sees every op that is called with a tensor; subclasses say what they make of it."""

    def __init__(self):
        self.modules: list[Any] = []  # the modules now running, outermost first

    def watched(self, op: Op) -> Callable:
        """The forward to run for a call of op."""
        return op.forward

    def pulled(self, node: Node, g: Any, cotangents: list) -> None:
        """Called in the walk back, with the cotangent of a node and what it gave its arguments."""

    def site(self) -> str:
        """The line of the user's code that is running: "file.py:12"."""
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        return f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def called(self, module: Any, args: tuple, kwargs: dict) -> Any:
        """Runs the forward of a module that is called."""
        self.modules.append(module)
        try:
            return module.forward(*args, **kwargs)
        finally:
            self.modules.pop()


def outputs_of(op: Op, result: Any) -> tuple:
    """The output arrays, one or several, in what the forward of op returned."""
    y = result[0] if op.has_residuals else result
    return y if type(y) is tuple else (y,)


@contextmanager
def observed(observer: Observer) -> Iterator[Observer]:
    """Let observer watch what runs inside the with block."""
    token = trace_observer.set(observer)
    try:
        yield observer
    finally:
        trace_observer.reset(token)


# ---------------------------------------------------------------------- non-finite values


class _NonFinite(Observer):
    def watched(self, op):
        def run(*args, **static):
            result = op.forward(*args, **static)
            for part in outputs_of(op, result):
                self._check(part, f"op {op.name!r}", self.site(), args)
            return result

        return run

    def pulled(self, node, _, cotangents):
        for i, g in enumerate(cotangents):
            if g is not None:
                place = f"the derivative of op {node.op.name!r} for argument {i}"
                self._check(
                    g.data if isinstance(g, Traced) else g,
                    place,
                    getattr(node, "site", "?"),
                    node.args,
                )

    def _check(self, y, place, site, args):
        y = np.asarray(y) if np.isscalar(y) else y
        if y.dtype.kind != "f" or np.isfinite(y).all():
            return
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(y))[0])
        path = " > ".join(type(module).__name__ for module in self.modules)
        shapes = ", ".join(str(getattr(x, "shape", x)) for x in args)
        raise FloatingPointError(
            f"{place} gave {y[index]} at index {index} of shape {y.shape}, the first non-finite "
            f"value; at {site}{' in ' + path if path else ''}; arguments: {shapes}"
        )


def detect_anomaly() -> Any:
    """A context that stops at the first non-finite value, forward or backward.

    Raises FloatingPointError with the op, the user's line, shapes and the first index. The graph
    must be made inside the context for backward to know the lines.
    """
    return observed(_NonFinite())


# ------------------------------------------------------------------------------- profile


class Profile(Observer):
    """Calls, seconds and bytes of output by op, forward; `print(profile)` shows a table."""

    def __init__(self):
        super().__init__()
        self.ops: dict[str, list] = {}

    def watched(self, op):
        def run(*args, **static):
            start = time.perf_counter()
            result = op.forward(*args, **static)
            row = self.ops.setdefault(op.name, [0, 0.0, 0])
            row[0] += 1
            row[1] += time.perf_counter() - start
            row[2] += sum(part.nbytes for part in outputs_of(op, result))
            return result

        return run

    def __str__(self) -> str:
        rows = sorted(self.ops.items(), key=lambda item: -item[1][1])
        lines = [f"{'op':<24}{'calls':>8}{'ms':>10}{'MB out':>10}"]
        for name, (calls, seconds, size) in rows:
            lines.append(f"{name:<24}{calls:>8}{seconds * 1e3:>10.2f}{size / 1e6:>10.2f}")
        return "\n".join(lines)


def profile() -> Any:
    """A context that gives a Profile of the ops that run inside it (host time on a GPU)."""
    return observed(Profile())
