"""Hypothesis strategies: shapes, layouts, tensors and whole calls of ops.

Hypothesis is imported when the first of them is made, for minigen does without it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minigen.tensors import Tensor
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices
from minigen.testing.graph_draws import draw_program
from minigen.testing.memory import LAYOUTS, in_layout


class _Drawn(Choices):
    """Choices that Hypothesis makes."""

    def __init__(self, draw):
        super().__init__(draw(_integers(0, 2**32 - 1)))
        self._draw = draw

    def integer(self, low, high):
        return self._draw(_integers(low, high))


@cache
def _integers(low, high):
    """To make a strategy takes longer than to draw from it; so with `op_calls`."""
    from hypothesis import strategies as st

    return st.integers(low, high)


def drawn(build: Callable[[Choices], Any]) -> Any:
    """The strategy of what build makes of Choices."""
    from hypothesis import strategies as st

    return st.composite(lambda draw: build(_Drawn(draw)))()


def shapes(min_dims: int = 0, max_dims: int = 4, max_side: int = 5) -> Any:
    """Shapes, one in eight 0-d, one in eight of size 0, none large."""
    return drawn(lambda c: c.shape(min_dims, max_dims, max_side))


def broadcastable_shapes(n: int, max_dims: int = 4) -> Any:
    """Tuples of n shapes that broadcast against each other."""
    return drawn(lambda c: tuple(c.broadcastable(n, max_dims)))


def layouts(array: np.ndarray) -> Any:
    """Copies of array in every memory layout; with stride 0 its first slice is repeated."""
    return drawn(lambda c: in_layout(array, c.pick(LAYOUTS)))


def tensors(
    shape: tuple[int, ...] | None = None,
    dtype: Any = np.float64,
    low: float = -3.0,
    high: float = 3.0,
    requires_grad: bool = True,
) -> Any:
    """Tensors of uniform values in [low, high], of a drawn shape if none is given."""

    def build(c):
        values = c.array(c.shape() if shape is None else shape, low, high)
        return Tensor(values.astype(dtype)).requires_grad_(requires_grad)

    return drawn(build)


def op_cases(name: str) -> Any:
    """Calls (args, kwargs) of the op of that name, its float arrays float64 and off kinks."""
    return drawn(CASES[name].arguments)


def programs() -> Any:
    """Random programs of 3 to 25 ops that share nodes; see `minigen.testing.graphs`."""
    return drawn(draw_program)


@cache
def op_calls(name: str) -> Any:
    """The same as pairs of a `Call` and a NumPy generator for the random parts of its checks."""
    return drawn(lambda c: (draw_call(name, c), np.random.default_rng(c.integer(0, 2**32 - 1))))
