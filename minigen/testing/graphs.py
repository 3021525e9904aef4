"""Random programs: graphs of ops that share nodes, compared with an evaluation in NumPy.

A program has 3 to 25 calls of ops on its inputs and on earlier results. Its loss is a weighted
sum of all of them, with random weights, so that a wrong gradient of any op changes it. Its oracle
evaluates the same calls by the references of the cases, in float64 or with a complex step.
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
    """A reference to an input or to the result of a step, by its index among all values."""

    index: int


@dataclass(frozen=True)
class Step:
    """One call of op `name`, some of its arguments Refs. Its result is multiplied by scale."""

    name: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    scale: float = 1.0

    def arguments(self, values: Sequence) -> list:
        """The arguments with Refs replaced by values, and float constants cast to their dtype."""
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
    """Inputs, steps, and for each value an array of its weights in the loss."""

    inputs: list[np.ndarray]
    steps: list[Step]
    weights: list[np.ndarray] = field(default_factory=list)

    def values(self, inputs: Sequence, call: Callable) -> list:
        """The inputs and the results of all steps, each computed by call(step, arguments)."""
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
        """The loss by the references, in NumPy; for complex arrays too."""
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
