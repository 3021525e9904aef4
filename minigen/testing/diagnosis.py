"""Which op has a wrong derivative: checks each recorded op alone, at the values of its call.

`find_fault` runs the function under an observer that stores the arguments of each call, then
checks every op in the order of the run. For the first that fails `causes.cause_of` finds a cause.
"""

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

ONE_OP = 1e-9  # limit for one op: differences are more accurate than through a whole function


@dataclass(frozen=True)
class Fault:
    """One wrong derivative: its op, argument, order and likely cause.

    where is the line of the call that was checked, and the modules that were running.
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
    """Stored in a node: all arguments of its call, and the line of the call."""

    args: list
    where: str


class _Recorder(Observer):
    """Stores all arguments of a call in its node, also those that no rule saves."""

    args: list = []

    def watched(self, op):
        def run(*args, **static):
            self.args = [_copied(x) for x in args]  # batch_norm writes to two of them
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

    Rules are composed of ops as well, which they may call with other shapes than f does. So for
    order 2 the ops of the first-order backward pass are checked first, and then the second
    derivatives of the ops of f. traced: gradients must be equal when their graph is recorded.
    """
    function, xs, calls_of_f = f, list(inputs), []
    for _ in range(order):
        with observed(_Recorder()):
            outputs = as_tuple(function(*map(tracked, xs)))
        calls = _calls(outputs)
        calls_of_f = calls_of_f or calls
        gs = [rng.standard_normal(y.shape) for y in outputs]
        function, xs = gradient_function(function, len(xs)), [*xs, *gs]
    suspects = [(*call, 1) for call in calls] + [(*call, order) for call in calls_of_f if order > 1]
    faults = (_fault_of(*suspect, rng, limit, traced) for suspect in suspects)
    return next(filter(None, faults), None)


def _calls(outputs):
    """(node, i) for each tracked argument i of each call that outputs depend on, in call order."""
    reached, stack = set(), [y.node for y in outputs]
    while stack:
        vertex = stack.pop()
        if vertex is not None and vertex not in reached:
            reached.add(vertex)
            stack.extend(vertex.parents)
    nodes = [v for v in reached if isinstance(v, Node) and hasattr(v, "site")]
    nodes.sort(key=lambda node: node.depth)
    return [(node, i) for node in nodes for i, p in enumerate(node.parents) if p is not None]


def _fault_of(node, i, order, rng, limit, traced):
    """The fault in the rule of argument i of a recorded call; None if it is right."""
    call = Call(node)
    try:
        if order == 1:
            near = min(limit, ONE_OP)
            check_gradient(call.as_function_of(i), [call.args[i]], rng, 1, near, traced=traced)
        else:
            f, xs = call.rule(i), [*call.tracked_args(), *call.cotangents(rng)]
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
    """A recorded call of an op, which can be repeated with other values. Floats are float64."""

    def __init__(self, node: Node):
        self.op, self.static = node.op, node.static
        self.args = [_wide(x) for x in node.site.args]
        self.tracked = [i for i, parent in enumerate(node.parents) if parent is not None]

    def __call__(self, *args: Any) -> tuple:
        """The float outputs of the op, as tensors."""
        outputs = as_tuple(self.op.function(*map(_copied, args), **self.static))
        outputs = [y if isinstance(y, Tensor) else Tensor(np.asarray(y)) for y in outputs]
        return tuple(y for y in outputs if y.dtype.kind == "f")

    def as_function_of(self, i: int) -> Callable:
        """The outputs as a function of argument i, the others as recorded."""
        return lambda x: self(*self.args[:i], x, *self.args[i + 1 :])

    def tracked_args(self) -> list[np.ndarray]:
        """The arguments that require grad."""
        return [self.args[i] for i in self.tracked]

    def with_tracked_args(self, *xs: Any) -> tuple:
        """The outputs for other values of the arguments that require grad."""
        args = list(self.args)
        for i, x in zip(self.tracked, xs):
            args[i] = x
        return self(*args)

    def rule(self, i: int) -> Callable:
        """The gradient for argument i as a function of tracked_args() and cotangents."""
        gradients = gradient_function(self.with_tracked_args, len(self.tracked))
        return partial(_ith_result, gradients, self.tracked.index(i))

    def cotangents(self, rng: np.random.Generator) -> list[np.ndarray]:
        """A random cotangent for each output."""
        return [rng.standard_normal(y.shape) for y in self(*self.args)]

    def near(self, rng: np.random.Generator, relative: float, absolute: float = 0.0) -> "Call":
        """The same call with float arguments changed at random by up to these amounts."""
        moved = copy(self)
        draw = lambda x: rng.uniform(-1, 1, x.shape)
        moved.args = [
            x * (1 + relative * draw(x)) + absolute * draw(x) if _is_float(x) else x
            for x in self.args
        ]
        return moved

    def broadcast(self) -> "Call | None":
        """The call with every array broadcast to the shape of the output; None if it fails."""
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
        except Exception:  # an op that does not broadcast may raise anything
            return None

    def name(self, i: int) -> str:
        """The name of argument i in the signature of the op."""
        return f"xs[{i}]" if self.op.signature.variadic else self.op.signature.arrays[i]


def _ith_result(f, i, *args):
    return f(*args)[i]


def _copied(x):
    return x.copy() if isinstance(x, np.ndarray) else x


def _wide(x):
    return x.astype(np.float64) if _is_float(x) else x


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"
