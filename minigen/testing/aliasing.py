"""Finds ops that misuse memory: that write to their arguments, or to arrays they returned.

The user, other nodes and the backward walk may all hold the same array. So a forward or a rule
must not write to its arguments, nor later change an array that it returned. Numerical
differences do not show such a fault: the gradient can be right in one program and wrong in the
next. The search calls forwards and rules again with other values, and compares all arrays before
and after. (Forwards that declare to write to an argument are not called again.)
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autodiff.trace import Observer, observed
from minigen.gradients import grad
from minigen.tensors import Tensor
from minigen.testing.pullback import as_tuple, tracked

REPEATS = 3  # further calls of each rule: it may use several buffers, one after the other


@dataclass(frozen=True)
class Misuse:
    """How an op misused memory: op and argument by name, what it did, and the line of the call.

    If the fault is in a result, argument is the first argument of the op.
    """

    op: str
    argument: str
    detail: str
    where: str


def find_misuse(f: Callable, inputs: Sequence, rng: np.random.Generator) -> Misuse | None:
    """The first misuse of memory in f(*inputs) and in its first-order backward pass.

    An exception of f or of a rule ends the search silently: gradcheck calls f again and reports it.
    """
    with observed(_Watch(rng)) as watch, suppress(Exception):
        leaves = [tracked(np.array(x)) for x in inputs]
        outputs = [y for y in as_tuple(f(*leaves)) if y.requires_grad]
        if outputs:
            gs = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
            grad(outputs, leaves, gs, allow_unused=True)
        watch.check_calls()
    return watch.found


@dataclass(frozen=True)
class _Call:
    """Stored in a node: copies of the arguments of its call, and the line of the call."""

    args: list
    where: str


class _Watch(Observer):
    """Compares arrays before and after each forward, and calls forwards and rules again."""

    def __init__(self, rng):
        super().__init__()
        self.rng, self.found, self.args = rng, None, []
        self.calls = []  # (op, the arrays of the call, copies of them, its line)

    def watched(self, op):
        def run(*args, **static):
            self.args = [_copied(x) for x in args]
            result = op.forward(*args, **static)
            for i, (x, before) in enumerate(zip(args, self.args)):
                name = op.signature.argument(i)
                if name not in op.writes and not _same(x, before):
                    self._report(
                        op, name, f"forward writes into its argument {name!r}", self.line()
                    )
                    self.args[i] = _copied(x)
            self._watch_results(op, args, static, result)
            return result

        return run

    def _watch_results(self, op, args, static, result):
        """Call forward again with other values; report a result that this changes."""
        arrays = _arrays(result)
        before = [x.copy() for x in arrays]
        if not op.writes:
            op.forward(*(_perturbed(x, self.rng) for x in args), **static)
        for x, old in zip(arrays, before):
            if not _same(x, old):
                name = op.signature.argument(0)
                detail = "forward writes into an array that it has returned before"
                self._report(op, name, detail, self.line())
        copies = [*_arrays(self.args), *before]
        self.calls.append((op, [*_arrays(args), *arrays], copies, self.line()))

    def check_calls(self):
        """After all calls: the arguments and results of each must be unchanged."""
        for op, arrays, before, where in self.calls:
            if not op.writes and not all(map(_same, arrays, before)):
                name = op.signature.argument(0)
                self._report(op, name, "an op writes into the arrays of an earlier call", where)

    def site(self):
        return _Call(self.args, self.line())

    def line(self) -> str:
        """The line of the user's code, and the modules that are running."""
        path = " > ".join(type(module).__name__ for module in self.modules)
        return super().site() + (f" in {path}" if path else "")

    def pulled(self, node, g, cotangents):
        if not hasattr(node, "site"):  # an input of a definition, see autodiff/fused.py
            return
        for i, part in enumerate(cotangents):
            if isinstance(part, np.ndarray):
                for _ in range(REPEATS):
                    self._call_again(node, g, cotangents, i)
        for i, (x, before) in enumerate(zip(node.args, node.site.args)):
            name = node.op.signature.argument(i)
            if isinstance(x, np.ndarray) and name not in node.op.writes and not _same(x, before):
                detail = f"a rule writes into the saved argument {name!r}"
                self._report(node.op, name, detail, node.site.where)

    def _call_again(self, node, g, cotangents, i):
        """Call the rule for argument i with another cotangent; report arrays that this changes."""
        op, name = node.op, node.op.signature.argument(i)
        report = lambda detail: self._report(op, name, detail, node.site.where)
        other = _map(lambda x: self.rng.standard_normal(x.shape).astype(x.dtype), g)
        new_gs = _arrays(other)
        saved = _arrays([node.args, node.y, node.residuals])
        returned = [part for part in _arrays(cotangents) if not _shared(part, saved)]
        before = [x.copy() for x in (*new_gs, *saved, *returned)]
        wanted = [k == i for k in range(len(cotangents))]
        again = op.cotangents(other, node, wanted, Tensor, False)[i]
        for x in new_gs:
            if not _same(x, before.pop(0)):
                report("its rule writes into the cotangent that it is given")
        for x in saved:
            if not _same(x, before.pop(0)):
                report("its rule writes into a value that was saved")
        for x in returned:
            if not _same(x, before.pop(0)):
                report("its rule writes into an array that it has returned before")
        others = [part for k, part in enumerate(cotangents) if k != i]
        shared = _shared(cotangents[i], _arrays(others)) or not cotangents[i].flags.writeable
        kept = again is not None and _shared(again, [*new_gs, *saved, *_arrays(cotangents)])
        if op.returns_new and (shared or kept):
            report(
                "its rule declares returns_new, but returns an array that it keeps or was passed"
            )

    def _report(self, op, argument, detail, where):
        self.found = self.found or Misuse(op.name, argument, detail, where)


def _copied(x):
    return x.copy() if isinstance(x, np.ndarray) else x


def _same(x, before):
    return not isinstance(x, np.ndarray) or np.array_equal(x, before, equal_nan=x.dtype.kind == "f")


def _perturbed(x, rng):
    """A float array with each value changed by up to 10 %; anything else unchanged."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return x * rng.uniform(0.9, 1.1, x.shape).astype(x.dtype)
    return _copied(x)


def _shared(x, others):
    """Whether x may share memory with one of the others."""
    return any(np.may_share_memory(x, other) for other in others)


def _map(function, x):
    """function(x), or a tuple of it for a tuple; None stays None."""
    if isinstance(x, tuple):
        return tuple(_map(function, part) for part in x)
    return None if x is None else function(x)


def _arrays(x: Any) -> list[np.ndarray]:
    """The arrays in a nest of tuples, lists and dicts."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, tuple | list):
        return [array for part in x for array in _arrays(part)]
    return [x] if isinstance(x, np.ndarray) else []
