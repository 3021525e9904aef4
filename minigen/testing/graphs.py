"""Random programs: graphs of ops that share nodes, held against NumPy's own evaluation.

A program has 3 to 25 calls of ops, each of inputs and of earlier results, and a loss that every
one of them feeds with a weight of its own: so no gradient can hide. Its oracle evaluates the
same calls by the references of the cases, in float64 or with a complex step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen import ops
from minigen.testing.cases import CASES
from minigen.testing.numerical import complex_step_jvp


@dataclass(frozen=True)
class Ref:
    """The result of a step, or an input, by its number."""

    index: int


@dataclass(frozen=True)
class Step:
    """One call: of op `name`, with Refs among its arguments; its result is multiplied by scale."""

    name: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    scale: float = 1.0

    def arguments(self, values: Sequence) -> list:
        """The arguments, with values in the place of Refs, and constants in the dtype of those."""
        return [_resolved(x, values, values[0].dtype) for x in self.args]

    def __str__(self) -> str:
        named = "".join(f", {key}={_shown(value)}" for key, value in self.kwargs.items())
        scale = "" if self.scale == 1.0 else f" * {self.scale!r}"
        return f"{self.name}({', '.join(map(_shown, self.args))}{named}){scale}"


def _resolved(x, values, dtype):
    if isinstance(x, Ref):
        return values[x.index]
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return x.astype(dtype)
    return [_resolved(part, values, dtype) for part in x] if isinstance(x, list) else x


def _shown(x):
    if isinstance(x, Ref):
        return f"v{x.index}"
    if isinstance(x, list):
        return f"[{', '.join(map(_shown, x))}]"
    return f"array{x.shape}" if isinstance(x, np.ndarray) else repr(x)


@dataclass
class Program:
    """Inputs, steps, and the weights of every value in the loss."""

    inputs: list[np.ndarray]
    steps: list[Step]
    weights: list[np.ndarray] = field(default_factory=list)

    def values(self, inputs: Sequence, call: Callable) -> list:
        """The inputs and the results of all steps, with call(step, arguments) for each."""
        values = list(inputs)
        for step in self.steps:
            y = call(step, step.arguments(values))
            values.append(y if step.scale == 1.0 else y * step.scale)
        return values

    def loss(self, *inputs: Any) -> Any:
        """The loss by minigen's ops, of tensors or raw arrays."""
        values = self.values(inputs, _by_op)
        total = 0.0
        for w, x in zip(self.weights, values):
            total = total + ops.sum(x * w.astype(x.dtype))
        return total

    def oracle(self, *inputs: np.ndarray) -> np.ndarray:
        """The loss by the references, in NumPy alone; of complex arrays too."""
        with np.errstate(all="ignore"):
            values = self.values(inputs, by_reference)
        return np.asarray(sum((w * x).sum() for w, x in zip(self.weights, values)))

    def slope(self, inputs: Sequence, directions: Sequence) -> float:
        """The derivative of the oracle along directions, exact to rounding."""
        return float(complex_step_jvp(self.oracle, inputs, directions))

    def __str__(self) -> str:
        lines = [f"v{i} = input {x.shape}" for i, x in enumerate(self.inputs)]
        start = len(self.inputs)
        return "\n".join(lines + [f"v{start + i} = {step}" for i, step in enumerate(self.steps)])


def _by_op(step, args):
    return getattr(ops, step.name)(*args, **step.kwargs)


def by_reference(step: Step, args: list) -> np.ndarray:
    """The result of a step by the reference of its op."""
    return np.asarray(CASES[step.name].reference(*args, **step.kwargs))
