"""Observers of a run: anomaly detection and profiling, and the class that they share.

At most one observer is active, and by default there is none, which costs nothing. An observer
chooses the function that runs an op's forward, so it can time it. It can find the line of the
user's code and the modules that are running. In the backward walk it gets the cotangents of each
node.
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
    """Its methods are called for every op with a tensor argument; subclasses override them."""

    def __init__(self):
        self.modules: list[Any] = []  # the modules that are running, outermost first

    def watched(self, op: Op) -> Callable:
        """The function to run instead of op.forward in a call of op."""
        return op.forward

    def pulled(self, node: Node, g: Any, cotangents: list) -> None:
        """Called in the backward walk, with g of a node and the cotangents of its arguments."""

    def site(self) -> str:
        """The line of the user's code that is running: "file.py:12"."""
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        return f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def called(self, module: Any, args: tuple, kwargs: dict) -> Any:
        """Runs the forward of a module, which is in self.modules meanwhile."""
        self.modules.append(module)
        try:
            return module.forward(*args, **kwargs)
        finally:
            self.modules.pop()


def outputs_of(op: Op, result: Any) -> tuple:
    """The output arrays in result, what the forward of op returned, as a tuple."""
    y = result[0] if op.has_residuals else result
    return y if type(y) is tuple else (y,)


@contextmanager
def observed(observer: Observer) -> Iterator[Observer]:
    """A context in which observer is active."""
    token = trace_observer.set(observer)
    try:
        yield observer
    finally:
        trace_observer.reset(token)


# ---------------------------------------------------------------------- non-finite values


class _NonFinite(Observer):
    """Raises FloatingPointError at the first value that is infinite or NaN."""

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
                source = f"the derivative of op {node.op.name!r} for argument {i}"
                array = g.data if isinstance(g, Traced) else g
                self._check(array, source, getattr(node, "site", "?"), node.args)

    def _check(self, y, source, site, args):
        y = np.asarray(y) if np.isscalar(y) else y
        if y.dtype.kind != "f" or np.isfinite(y).all():
            return
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(y))[0])
        path = " > ".join(type(module).__name__ for module in self.modules)
        shapes = ", ".join(str(getattr(x, "shape", x)) for x in args)
        raise FloatingPointError(
            f"{source} gave {y[index]} at index {index} of shape {y.shape}, the first non-finite "
            f"value; at {site}{' in ' + path if path else ''}; arguments: {shapes}"
        )


def detect_anomaly() -> Any:
    """A context that stops at the first non-finite value, forward or backward.

    Raises FloatingPointError with the op, the user's line, shapes and the first index. For lines in
    the backward pass, the graph must be recorded inside the context too.
    """
    return observed(_NonFinite())


# ------------------------------------------------------------------------------- profile


class Profile(Observer):
    """Calls, seconds and output bytes of the forward of each op; `print(profile)` shows a table."""

    def __init__(self):
        super().__init__()
        self.ops: dict[str, list] = {}  # name -> [calls, seconds, bytes]

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
    """A context that yields a `Profile` of the ops inside it; on a GPU, of the host's time."""
    return observed(Profile())
