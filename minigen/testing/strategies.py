"""Hypothesis strategies: shapes, memory layouts, tensors, calls of ops, random programs.

Hypothesis is imported when the first strategy is created: minigen itself does not need it.
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
    """Choices with integers from Hypothesis, which can shrink them."""

    def __init__(self, draw):
        super().__init__(draw(_integers(0, 2**32 - 1)))
        self._draw = draw

    def integer(self, low, high):
        return self._draw(_integers(low, high))


@cache
def _integers(low, high):
    """The strategy of integers in [low, high], cached: creating it is slower than drawing."""
    from hypothesis import strategies as st

    return st.integers(low, high)


def drawn(build: Callable[[Choices], Any]) -> Any:
    """The strategy of the values build(choices)."""
    from hypothesis import strategies as st

    return st.composite(lambda draw: build(_Drawn(draw)))()


def shapes(min_dims: int = 0, max_dims: int = 4, max_side: int = 5) -> Any:
    """Small shapes; about one in eight is 0-d, if min_dims allows it, one in eight of size 0."""
    return drawn(lambda c: c.shape(min_dims, max_dims, max_side))


def broadcastable_shapes(n: int, max_dims: int = 4) -> Any:
    """Tuples of n shapes that broadcast against each other."""
    return drawn(lambda c: tuple(c.broadcastable(n, max_dims)))


def layouts(array: np.ndarray) -> Any:
    """array in one of the memory layouts; with stride 0, its first slice repeated."""
    return drawn(lambda c: in_layout(array, c.pick(LAYOUTS)))


def tensors(
    shape: tuple[int, ...] | None = None,
    dtype: Any = np.float64,
    low: float = -3.0,
    high: float = 3.0,
    requires_grad: bool = True,
) -> Any:
    """Tensors of uniform values in [low, high]; shape=None draws the shape too."""

    def build(c):
        values = c.array(c.shape() if shape is None else shape, low, high)
        return Tensor(values.astype(dtype)).requires_grad_(requires_grad)

    return drawn(build)


def op_cases(name: str) -> Any:
    """Calls (args, kwargs) of the op of that name; float arrays are float64 and not near kinks."""
    return drawn(CASES[name].arguments)


def programs() -> Any:
    """Random programs of 3 to 25 ops that share nodes; see `minigen.testing.graphs`."""
    return drawn(draw_program)


@cache
def op_calls(name: str) -> Any:
    """Pairs of a `Call` of the op and a seeded NumPy generator for the checks of that call."""
    return drawn(lambda c: (draw_call(name, c), np.random.default_rng(c.integer(0, 2**32 - 1))))
