"""Numerical derivatives, which derivative rules are checked against: differences, complex step."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.testing.closeness import as_numpy

STEP, HALVINGS = 2.0**-7, 4  # differences over STEP, STEP / 2, ... STEP / 2**HALVINGS
COMPLEX_STEP = 2.0**-70  # its square is far below the rounding of float64


def numerical_jvp(f: Callable, inputs: Sequence, directions: Sequence) -> Any:
    """J u: the derivative of f at inputs along directions u, in float64; a tuple if f returns one.

    Central differences, extrapolated to step 0 (Richardson). Each element takes that estimate of
    the table that agrees best with its neighbours (Ridders 1982). The error is about 1e-12 where
    f is smooth within a distance of 0.1 of the inputs.
    """
    inputs = [as_numpy(x).astype(np.float64) for x in inputs]
    directions = [as_numpy(u).astype(np.float64) for u in directions]
    flat, unflatten = _flattened(f(*inputs))
    if flat.size == 0:
        return unflatten(flat)

    def difference(h):
        above = f(*[x + h * u for x, u in zip(inputs, directions)])
        below = f(*[x - h * u for x, u in zip(inputs, directions)])
        return (_flattened(above)[0] - _flattened(below)[0]) / (2 * h)

    previous = [difference(STEP)]
    best, smallest_gap = previous[0], np.full(flat.shape, np.inf)
    for halvings in range(1, HALVINGS + 1):
        row = [difference(STEP / 2**halvings)]
        for j, coarser in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (4**j - 1))
            gap = np.maximum(np.abs(row[j] - row[j - 1]), np.abs(row[j] - coarser))
            best = np.where(gap < smallest_gap, row[j], best)
            smallest_gap = np.fmin(gap, smallest_gap)
        previous = row
    return unflatten(best)


def complex_step_jvp(f: Callable, inputs: Sequence, directions: Sequence) -> Any:
    """J u for a NumPy function that takes complex arrays, exact to rounding.

    f(x + ihu) = f(x) + ih J u for an h whose square vanishes in rounding (Squire and Trapp 1998).
    f must be analytic and take its branches by the real part.
    """
    result = f(*[x + 1j * (COMPLEX_STEP * u) for x, u in zip(inputs, directions)])
    flat, unflatten = _flattened(result)
    return unflatten(np.imag(flat) / COMPLEX_STEP)


def _flattened(result):
    """All values of an array or a tuple of arrays in one vector, and the inverse function."""
    parts = [as_numpy(y) for y in (result if isinstance(result, tuple) else (result,))]
    ends = np.cumsum([y.size for y in parts])

    def unflatten(vector):
        pieces = zip(np.split(vector, ends[:-1]), parts)
        arrays = tuple(piece.reshape(y.shape) for piece, y in pieces)
        return arrays if isinstance(result, tuple) else arrays[0]

    return np.concatenate([y.reshape(-1) for y in parts]), unflatten
