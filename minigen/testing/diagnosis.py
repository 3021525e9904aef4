"""Where a wrong derivative comes from: each op of a run is checked alone, at the values it met."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen.autodiff.graph import Node
from minigen.autodiff.trace import Observer, observed
from minigen.tensors import Tensor
from minigen.testing.causes import ALIASED, cause_of
from minigen.testing.pullback import (
    as_tuple,
    check_gradient,
    gradient_function,
    tracked,
)

ONE_OP = 1e-9  # how near differences come for one op: closer than through a whole run


@dataclass(frozen=True)
class Fault:
    """One wrong derivative: of which op, for which argument, of which order, and the likely cause.

    where is the line, and the modules, of the call in which it was found.
    """

    op: str
    argument: str
    order: int
    cause: str
    detail: str
    where: str

    def __str__(self) -> str:
        order = "" if self.order == 1 else f" of order {self.order}"
        if self.cause == ALIASED:
            return f"op {self.op!r} {self.cause}: {self.detail}; called at {self.where}"
        return (
            f"the derivative{order} of op {self.op!r} for its argument {self.argument!r} is "
            f"wrong: {self.cause} ({self.detail}); called at {self.where}"
        )


@dataclass(frozen=True)
class _Visit:
    """What a node remembers of its call while a run is diagnosed."""

    args: list
    where: str


class _Recorder(Observer):
    """Has each node remember all the arguments of its call, whatever its rules save."""

    args: list = []

    def watched(self, op):
        def run(*args, **static):
            self.args = [_copied(x) for x in args]  # batch_norm writes into two of its own
            return op.forward(*args, **static)

        return run

    def site(self):
        path = " > ".join(type(module).__name__ for module in self.modules)
        return _Visit(self.args, super().site() + (f" in {path}" if path else ""))


def find_fault(
    f: Callable,
    inputs: Sequence,
    order: int,
    rng: np.random.Generator,
    limit: float,
    traced: bool = True,
) -> Fault | None:
    """The first op of f(*inputs), in the order of the run, whose own derivative is wrong.

    The rules of a first-order backward pass are made of ops too, which may meet other shapes
    there: for order 2 those are looked at before the second derivatives of the ops of f are.
    traced: whether gradients must be the same when their graph is recorded.
    """
    function, xs, of_f = f, list(inputs), []
    for _ in range(order):
        with observed(_Recorder()):
            outputs = as_tuple(function(*map(tracked, xs)))
        calls = _calls(outputs)
        of_f = of_f or calls
        gs = [rng.standard_normal(y.shape) for y in outputs]
        function, xs = gradient_function(function, len(xs)), [*xs, *gs]
    suspects = [(*call, 1) for call in calls] + [(*call, order) for call in of_f if order > 1]
    return next(filter(None, (_examined(*one, rng, limit, traced) for one in suspects)), None)


def _calls(outputs):
    """(node, i): the calls that lead to outputs, in their order, and their tracked arguments."""
    reached, stack = set(), [y.node for y in outputs]
    while stack:
        vertex = stack.pop()
        if vertex is not None and vertex not in reached:
            reached.add(vertex)
            stack.extend(vertex.parents)
    nodes = [v for v in reached if isinstance(v, Node) and hasattr(v, "site")]  # no stand-ins
    nodes.sort(key=lambda node: node.depth)
    return [(node, i) for node in nodes for i, p in enumerate(node.parents) if p is not None]


def _examined(node, i, order, rng, limit, traced):
    """The fault of the rule for argument i of a call, if it has one."""
    call = Call(node)
    try:
        if order == 1:
            near = min(limit, ONE_OP)
            check_gradient(call.of(i), [call.args[i]], rng, 1, near, traced=traced)
        else:
            f, xs = call.rule(i), [*call.floats(), *call.cotangents(rng)]
            for _ in range(order - 2):
                outputs = as_tuple(f(*xs))
                f = gradient_function(f, len(xs))
                xs += [rng.standard_normal(y.shape) for y in outputs]
            check_gradient(f, xs, rng, order, limit)
    except Exception:  # a rule may fail in any way
        cause, detail = cause_of(call, i, order, rng)
        return Fault(node.op.name, call.name(i), order, cause, detail, node.site.where)
    return None


class Call:
    """One recorded call of an op, to be made again with other values."""

    def __init__(self, node: Node):
        self.op, self.static = node.op, node.static
        self.args = [_wide(x) for x in node.site.args]
        self.tracked = [i for i, parent in enumerate(node.parents) if parent is not None]

    def __call__(self, *args: Any) -> tuple:
        """The float outputs, as tensors."""
        outputs = as_tuple(self.op.function(*map(_copied, args), **self.static))
        outputs = [y if isinstance(y, Tensor) else Tensor(np.asarray(y)) for y in outputs]
        return tuple(y for y in outputs if y.dtype.kind == "f")

    def of(self, i: int) -> Callable:
        """The outputs as a function of argument i alone, the others as they were."""
        return lambda x: self(*self.args[:i], x, *self.args[i + 1 :])

    def floats(self) -> list[np.ndarray]:
        """The arguments that were on the graph."""
        return [self.args[i] for i in self.tracked]

    def of_floats(self, *xs: Any) -> tuple:
        """The outputs as a function of those."""
        args = list(self.args)
        for i, x in zip(self.tracked, xs):
            args[i] = x
        return self(*args)

    def rule(self, i: int) -> Callable:
        """What the rule for argument i gives, as a function of those and of cotangents."""
        gradients, place = gradient_function(self.of_floats, len(self.tracked)), i
        return partial(_one_of, gradients, self.tracked.index(place))

    def cotangents(self, rng: np.random.Generator) -> list[np.ndarray]:
        """A random one for each output."""
        return [rng.standard_normal(y.shape) for y in self(*self.args)]

    def near(self, rng: np.random.Generator, share: float, further: float = 0.0) -> "Call":
        """The same call with the float arguments moved a little, relatively and absolutely."""
        moved = copy(self)
        draw = lambda x: rng.uniform(-1, 1, x.shape)
        moved.args = [
            x * (1 + share * draw(x)) + further * draw(x) if _is_float(x) else x for x in self.args
        ]
        return moved

    def broadcast(self) -> "Call | None":
        """The same call with every array spread to the shape of the output, if they can be."""
        outputs = self(*self.args)
        shape = outputs[0].shape
        if len(outputs) > 1:
            return None
        wide = copy(self)
        try:
            wide.args = [
                np.broadcast_to(x, shape).copy() if isinstance(x, np.ndarray) else x
                for x in self.args
            ]
            return wide if wide(*wide.args)[0].shape == shape else None
        except Exception:  # an op that does not broadcast, in whatever way it says so
            return None

    def name(self, i: int) -> str:
        """What the op calls argument i."""
        return f"xs[{i}]" if self.op.signature.variadic else self.op.signature.arrays[i]


def _one_of(f, i, *args):
    return f(*args)[i]


def _copied(x):
    return x.copy() if isinstance(x, np.ndarray) else x


def _wide(x):
    return x.astype(np.float64) if _is_float(x) else x


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"
