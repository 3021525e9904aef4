"""Arrays in the wrong hands: ops that write to what they were given, or to what they returned.

A value may be held by many: the user, other nodes, the walk. So forward and rules must leave
their arguments alone, and what a rule has returned must stay as it was. Differences do not show
such a fault: a gradient can be right in one program and wrong in the next.
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

AGAIN = 3  # calls of each rule


@dataclass(frozen=True)
class Misuse:
    """What op did with memory that is not its own, in a call at `where`."""

    op: str
    argument: str
    detail: str
    where: str


def find_misuse(f: Callable, inputs: Sequence, rng: np.random.Generator) -> Misuse | None:
    """The first misuse of memory in f(*inputs) and in its first-order backward pass.

    What f or a rule raises ends the search: whoever calls f next will see it.
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
    """What a node remembers: the arguments of its call as they were, and its line."""

    args: list
    where: str


class _Watch(Observer):
    """Compares arrays before and after each forward; calls the rules of each node once more."""

    def __init__(self, rng):
        super().__init__()
        self.rng, self.found, self.args = rng, None, []
        self.calls = []  # (op, its arrays, what they were, its line)

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
        """Call forward once more, with other values: what it keeps shows now."""
        arrays = _arrays(result)
        before = [x.copy() for x in arrays]
        if not op.writes:
            op.forward(*(_moved(x, self.rng) for x in args), **static)
        for x, was in zip(arrays, before):
            if not _same(x, was):
                name = op.signature.argument(0)
                detail = "forward writes into an array that it has returned before"
                self._report(op, name, detail, self.line())
        now = [*_arrays(self.args), *before]
        self.calls.append((op, [*_arrays(args), *arrays], now, self.line()))

    def check_calls(self):
        """What calls of forward were given and returned must be as it was, after all of them."""
        for op, arrays, before, where in self.calls:
            if not op.writes and not all(map(_same, arrays, before)):
                name = op.signature.argument(0)
                self._report(op, name, "an op writes into the arrays of an earlier call", where)

    def site(self):
        return _Call(self.args, self.line())

    def line(self) -> str:
        """The user's line, and the modules."""
        path = " > ".join(type(module).__name__ for module in self.modules)
        return super().site() + (f" in {path}" if path else "")

    def pulled(self, node, g, cotangents):
        if not hasattr(node, "site"):  # an identity that stands in for an argument
            return
        for i, part in enumerate(cotangents):
            if isinstance(part, np.ndarray):
                for _ in range(AGAIN):  # a rule may use some buffers in turn
                    self._call_again(node, g, cotangents, i)
        for i, (x, before) in enumerate(zip(node.args, node.site.args)):
            name = node.op.signature.argument(i)
            if isinstance(x, np.ndarray) and name not in node.op.writes and not _same(x, before):
                detail = f"a rule writes into the saved argument {name!r}"
                self._report(node.op, name, detail, node.site.where)

    def _call_again(self, node, g, cotangents, i):
        """Call the rule for argument i once more, with another g: what it keeps shows now."""
        op, name = node.op, node.op.signature.argument(i)
        report = lambda detail: self._report(op, name, detail, node.site.where)
        other = _map(lambda x: self.rng.standard_normal(x.shape).astype(x.dtype), g)
        given = _arrays(other)
        saved = _arrays([node.args, node.y, node.residuals])
        returned = [part for part in _arrays(cotangents) if not _shared(part, saved)]
        before = [x.copy() for x in (*given, *saved, *returned)]
        wanted = [k == i for k in range(len(cotangents))]
        again = op.cotangents(other, node, wanted, Tensor, False)[i]
        for x in given:
            if not _same(x, before.pop(0)):
                report("its rule writes into the cotangent that it is given")
        for x in saved:
            if not _same(x, before.pop(0)):
                report("its rule writes into a value that was saved")
        for x in returned:
            if not _same(x, before.pop(0)):
                report("its rule writes into an array that it has returned before")
        others = [part for k, part in enumerate(cotangents) if k != i]
        twice = _shared(cotangents[i], _arrays(others)) or not cotangents[i].flags.writeable
        kept = again is not None and _shared(again, [*given, *saved, *_arrays(cotangents)])
        if op.returns_new and (twice or kept):
            report(
                "its rule returns an array that it keeps, or was given, but declares returns_new"
            )

    def _report(self, op, argument, detail, where):
        self.found = self.found or Misuse(op.name, argument, detail, where)


def _copied(x):
    return x.copy() if isinstance(x, np.ndarray) else x


def _same(x, before):
    return not isinstance(x, np.ndarray) or np.array_equal(x, before, equal_nan=x.dtype.kind == "f")


def _moved(x, rng):
    """A float array with other values near by; anything else as it is."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return x * rng.uniform(0.9, 1.1, x.shape).astype(x.dtype)
    return _copied(x)


def _shared(x, others):
    return any(np.may_share_memory(x, other) for other in others)


def _map(function, x):
    """function of an array, or of each in a tuple, None apart."""
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
