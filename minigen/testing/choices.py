"""The decisions that make up a test case: shapes, axes, values.

Cases are drawn from a `Choices`. This one is a seeded generator; in `strategies.py` Hypothesis
takes its place and so can shrink what fails.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_VALUES = 48  # in one array: sums of a few dozen terms, and quick
GAP = 0.1  # how far values stay from a kink


class Choices:
    """Random decisions; `rng` is for values, which nobody needs to shrink."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
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
        """Sides in [min_side, max_side]; one in eight is 0-d, one in eight has a side 0."""
        kind = self.integer(0, 7)
        if kind == 0 and min_dims == 0:
            return ()
        dims = self.integer(max(min_dims, 1), max_dims) if max_dims else 0
        low = max(min_side, 1)
        sides = [self.integer(low, max_side) for _ in range(dims)]
        while math.prod(sides) > MOST_VALUES and max(sides) > low:
            i = sides.index(max(sides))
            sides[i] = max(low, sides[i] // 2)
        if kind == 1 and sides and min_side == 0:
            sides[self.integer(0, dims - 1)] = 0
        return tuple(sides)

    def narrowed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to shape."""
        shape = tuple(1 if self.integer(0, 3) == 0 else n for n in shape)
        return shape[self.integer(0, len(shape)) if self.integer(0, 2) == 0 else 0 :]

    def broadcastable(self, n: int, max_dims: int = 4) -> list[tuple[int, ...]]:
        """n shapes that broadcast against each other."""
        full = self.shape(max_dims=max_dims)
        return [self.narrowed(full) if n > 1 else full for _ in range(n)]

    def axis(self, ndim: int) -> int:
        """An axis, counted from either end."""
        return self.integer(-ndim, ndim - 1)

    def axes(self, ndim: int) -> int | tuple[int, ...] | None:
        """None, an axis, or a tuple of them, which may be empty."""
        kind = self.integer(0, 3)
        if kind == 0 or (kind == 1 and ndim == 0):
            return None
        if kind == 1:
            return self.axis(ndim)
        chosen = [i for i in self.rng.permutation(ndim).tolist() if self.integer(0, 1)]
        return tuple(i - ndim if self.flag() else i for i in chosen)

    # --------------------------------------------------------------------------- values

    def array(self, shape: tuple[int, ...], low: float = -3.0, high: float = 3.0) -> np.ndarray:
        """Uniform values in [low, high], an array also if 0-d."""
        return np.asarray(self.rng.uniform(low, high, shape))

    def signed(self, shape: tuple[int, ...], low: float = GAP, high: float = 3.0) -> np.ndarray:
        """Values of either sign with low <= |x| <= high."""
        return self.array(shape, low, high) * np.where(self.rng.random(shape) < 0.5, -1.0, 1.0)

    def distinct(self, shape: tuple[int, ...]) -> np.ndarray:
        """Values in [-3, 3], no two of them close."""
        n = math.prod(shape)
        places = self.rng.permutation(n) + self.rng.uniform(0.3, 0.7, n)
        return np.asarray((6 * places / max(n, 1) - 3).reshape(shape))

    def whole(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        """Integers in [low, high)."""
        return np.asarray(self.rng.integers(low, max(high, low + 1), shape))

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """Booleans."""
        return np.asarray(self.rng.random(shape) < 0.5)


def away(x: np.ndarray, *kinks: float) -> np.ndarray:
    """x with the values near a kink moved off it; kinks in ascending order."""
    for kink in kinks:
        x = np.where(np.abs(x - kink) < GAP, kink + GAP + np.abs(x - kink), x)
    return np.asarray(x)
