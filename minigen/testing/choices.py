"""Random choices from which test cases are built: shapes, axes, values.

`Choices` draws them from a seeded NumPy generator. Its subclass in `strategies.py` has Hypothesis
draw each integer, which can then shrink a case that fails.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_SIZE = 48  # values in one array: enough for sums of a few dozen terms, and fast
GAP = 0.1  # least distance of values from a kink


class Choices:
    """Seeded random choices. Float values come from `rng`: they need no shrinking."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, options: Sequence) -> Any:
        """One of options."""
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        """False or True."""
        return self.pick((False, True))

    # ------------------------------------------------------------------ shapes and axes

    def shape(
        self, min_dims: int = 0, max_dims: int = 4, max_side: int = 5, min_side: int = 0
    ) -> tuple[int, ...]:
        """Axes of length min_side to max_side. One in eight is 0-d, one in eight has size 0.

        The parameters are named as those of Hypothesis's array_shapes.
        """
        special = self.integer(0, 7)  # 0: no axes; 1: an axis of length 0
        if special == 0 and min_dims == 0:
            return ()
        dims = self.integer(max(min_dims, 1), max_dims) if max_dims else 0
        low = max(min_side, 1)
        shape = [self.integer(low, max_side) for _ in range(dims)]
        while math.prod(shape) > MAX_SIZE and max(shape) > low:
            i = shape.index(max(shape))
            shape[i] = max(low, shape[i] // 2)
        if special == 1 and shape and min_side == 0:
            shape[self.integer(0, dims - 1)] = 0
        return tuple(shape)

    def narrowed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to shape."""
        shape = tuple(1 if self.integer(0, 3) == 0 else n for n in shape)
        return shape[self.integer(0, len(shape)) if self.integer(0, 2) == 0 else 0 :]

    def broadcastable(self, n: int, max_dims: int = 4) -> list[tuple[int, ...]]:
        """n shapes that broadcast against each other."""
        full = self.shape(max_dims=max_dims)
        return [self.narrowed(full) if n > 1 else full for _ in range(n)]

    def axis(self, ndim: int) -> int:
        """An axis, positive or negative."""
        return self.integer(-ndim, ndim - 1)

    def axes(self, ndim: int) -> int | tuple[int, ...] | None:
        """None, an axis, or a tuple of axes, which may be empty."""
        form = self.integer(0, 3)  # 0: None; 1: an axis; 2 and 3: a tuple
        if form == 0 or (form == 1 and ndim == 0):
            return None
        if form == 1:
            return self.axis(ndim)
        chosen = [i for i in self.rng.permutation(ndim).tolist() if self.integer(0, 1)]
        return tuple(i - ndim if self.flag() else i for i in chosen)

    # --------------------------------------------------------------------------- values

    def array(self, shape: tuple[int, ...], low: float = -3.0, high: float = 3.0) -> np.ndarray:
        """Uniform values in [low, high]; of shape () an array too, not a NumPy scalar."""
        return np.asarray(self.rng.uniform(low, high, shape))

    def signed(self, shape: tuple[int, ...], low: float = GAP, high: float = 3.0) -> np.ndarray:
        """Values of either sign with low <= |x| <= high."""
        return self.array(shape, low, high) * np.where(self.rng.random(shape) < 0.5, -1.0, 1.0)

    def distinct(self, shape: tuple[int, ...]) -> np.ndarray:
        """Values in [-3, 3], no two of them closer than 3.6 / size."""
        n = math.prod(shape)
        steps = self.rng.permutation(n) + self.rng.uniform(0.3, 0.7, n)
        return np.asarray((6 * steps / max(n, 1) - 3).reshape(shape))

    def integer_array(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        """Integers in [low, high)."""
        return np.asarray(self.rng.integers(low, max(high, low + 1), shape))

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """Booleans."""
        return np.asarray(self.rng.random(shape) < 0.5)


def away_from(x: np.ndarray, *kinks: float) -> np.ndarray:
    """x with the values closer than GAP to a kink moved above it; kinks in ascending order."""
    for kink in kinks:
        x = np.where(np.abs(x - kink) < GAP, kink + GAP + np.abs(x - kink), x)
    return np.asarray(x)
