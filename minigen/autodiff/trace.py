"""Observers of a run: anomaly detection and profiling, and the class that they share.

At most one observer is active, and by default there is none, which costs nothing. An observer
chooses the function that runs an op's forward, so it can time it. It can find the line of the
user's code and the modules that are running. In the backward walk it gets the cotangents of each
node.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigen.autodiff.graph import Leaf, Node, Output, Traced, trace_observer
from minigen.autodiff.primitives import Op
from minigen.autodiff.walk import walk

PACKAGE = str(Path(__file__).parent.parent) + os.sep


class Observer:
    """Its methods are called for every op with a tensor argument; subclasses override them."""

    gives_way = False  # whether another may become active inside its context without a warning
    repeats = False  # whether the ops that it sees are those of a recording, which run again

    def __init__(self):
        self.modules: list[Any] = []  # the modules that are running, outermost first

    def watched(self, op: Op) -> Callable:
        """The function to run instead of op.forward in a call of op."""
        return op.forward

    def forward_of(self, op: Op, arrays: Sequence, parents: Sequence) -> Callable:
        """As `watched`; with the arguments, before they are promoted, and their vertices."""
        return self.watched(op)

    def recorded(self, node: Node) -> None:
        """Called when the node of a call has been made."""
        node.site = self.site()

    def walked(self, roots: Sequence, inputs: Any, cls: type, **options: Any) -> dict:
        """Runs a backward walk and returns what it finds: see `walk`."""
        return walk(roots, inputs, cls, **options)

    def pulling(self, node: Node, g: Any, wanted: Sequence) -> None:
        """Called in the backward walk before the rules of a node are called with g."""

    def pulled(self, node: Node, g: Any, cotangents: list) -> None:
        """Called after the rules, with the cotangents of the node's arguments."""

    def replaced(self, observer: "Observer") -> None:
        """Called when another observer becomes active inside its context."""

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
    """A context in which observer is active, and the one before it is not."""
    if (before := trace_observer.get()) is not None:
        before.replaced(observer)
    token = trace_observer.set(observer)
    try:
        yield observer
    finally:
        trace_observer.reset(token)


# ---------------------------------------------------------------------- non-finite values


@dataclass(frozen=True)
class _Origin:
    """The op that made a value NaN or infinite, in words."""

    text: str
    masked: bool = False  # it is a -inf that was passed in, as those of masks are


class _Site(str):
    """The line of a call; origin is that of its results, None if they are finite."""

    origin: _Origin | None = None


class _NonFinite(Observer):
    """Follows NaN and infinities from the op that makes them to the answers that they reach."""

    def __init__(self):
        super().__init__()
        self.made = {}  # id of a result that is not finite -> (the array, its origin)
        self.unused = {}  # id of those that no op has taken as an argument yet -> origin
        self.flowing = {}  # vertex -> origin of the cotangent that reaches it
        self.reached = set()  # vertices that the backward walk has reached
        self.origin = None  # of the results of the call that is being recorded

    def watched(self, op):
        def run(*args, **static):
            result = op.forward(*args, **static)
            self.origin = None
            for x in args:
                self.unused.pop(id(x), None)
            for y in outputs_of(op, result):
                if not _is_finite(y):
                    origin = self._origin(op, args, y)
                    self.made[id(y)] = y, origin
                    if _num_walks():  # of a rule, whose cotangents `pulled` looks at
                        continue
                    self.unused[id(y)] = origin
                    self.origin = self.origin or origin
                    # No other op will find a value in it. (With inf passed in, one may replace it:
                    # attention replaces the softmax of rows that are wholly masked.)
                    if np.isnan(y).all() and not any(_has_inf(x) for x in args):
                        self._report(origin)
            return result

        return run

    def _origin(self, op, args, y):
        """Which op made y not finite: this one, or one whose result is an argument."""
        passed = [(i, x) for i, x in enumerate(args) if not _is_finite(x)]
        is_nan = bool(np.isnan(y).any())
        nans = [(i, x) for i, x in passed if np.isnan(x).any()] if is_nan else []
        suspects = nans or passed
        only_minus_inf = not is_nan and not (y == np.inf).any()
        for _, x in suspects:
            _, origin = self.made.get(id(x), (None, None))
            if origin and (only_minus_inf or not origin.masked):
                return origin
        name, site = f"op {op.name!r}", super().site()
        inherited = [f"argument {i}" for i, x in suspects if id(x) not in self.made]
        # A -inf that was passed in and came out again is a mask's.
        masked = bool(inherited) and only_minus_inf
        note = f"; {' and '.join(inherited)} had such values before" if inherited else ""
        return _Origin(self._text(y, name, site, args) + note, masked)

    def _report(self, origin):
        """Raise FloatingPointError for a value that is an answer."""
        if not origin.masked:
            self.unused.clear()
            self.flowing.clear()
            raise FloatingPointError(origin.text)

    def site(self):
        site = _Site(super().site())
        site.origin = self.origin
        return site

    def pulled(self, node, g, cotangents):
        site = getattr(node, "site", None)
        if node not in self.reached and isinstance(site, _Site) and site.origin:
            self._report(site.origin)  # the walk starts here: a loss
        before = self.flowing.pop(node, None)
        for i, (parent, part) in enumerate(zip(node.parents, cotangents)):
            if part is None:
                continue
            vertex = parent.parents[0] if isinstance(parent, Output) else parent
            self.reached.add(vertex)
            array = part.data if isinstance(part, Traced) else part
            if _is_finite(array):
                continue
            source = f"the derivative of op {node.op.name!r} for argument {i}"
            origin = before or _Origin(self._text(array, source, site or "?", node.args))
            if not isinstance(vertex, Leaf):
                self.flowing.setdefault(vertex, origin)
            elif _num_walks() == 1:
                self._report(origin)

    def finish(self):
        """Report the first value that no op took as an argument, and no rule as a cotangent."""
        for origin in (*self.unused.values(), *self.flowing.values()):
            self._report(origin)

    def _text(self, y, source, site, args):
        y = np.asarray(y) if np.isscalar(y) else y
        worst = next(bad for bad in (np.isnan(y), y == np.inf, y == -np.inf) if bad.any())
        index = tuple(int(i) for i in np.argwhere(worst)[0])
        path = " > ".join(type(module).__name__ for module in self.modules)
        shapes = ", ".join(str(getattr(x, "shape", x)) for x in args)
        return (
            f"{source} gave {y[index]} at index {index} of shape {y.shape}, the first non-finite "
            f"value; at {site}{' in ' + path if path else ''}; arguments: {shapes}"
        )


def _is_finite(x):
    """Whether x has no NaN and no infinity; true of what is not float."""
    is_float = isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"
    return not is_float or bool(np.isfinite(x).all())


def _num_walks():
    """How many backward walks are running: a rule may differentiate a definition in its own."""
    frame, count = sys._getframe(1), 0
    while frame:
        count += frame.f_code is walk.__code__
        frame = frame.f_back
    return count


def _has_inf(x):
    return not _is_finite(x) and bool(np.isinf(x).any())


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """A context that raises FloatingPointError if an answer is NaN or infinite, and says why.

    Answers are arrays of NaN alone, the output of a backward pass, the gradients of leaves, and
    what no op has used when the context ends. The error names the op that first made the value,
    forward or backward: its line in the user's code, shapes, and the first index. What is dropped
    on the way is no error (a branch that `where` does not take, -inf into softmax, logsumexp or
    max), nor is the -inf of a mask. For lines in the backward pass, the graph must be recorded
    inside the context too.
    """
    observer = _NonFinite()
    with observed(observer):
        yield
    observer.finish()


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
