"""Derivatives without calculus: what the derivative rules are checked against."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.testing.closeness import as_numpy

STEP, LEVELS = 2.0**-7, 5  # differences over STEP, STEP / 2, ... STEP / 2**(LEVELS - 1)
COMPLEX_STEP = 2.0**-70


def numerical_jvp(f: Callable, inputs: Sequence, directions: Sequence) -> Any:
    """The derivative of f at inputs along directions, in float64; a tuple if f returns one.

    Central differences, extrapolated to step 0 (Richardson); of the table of estimates each
    element takes the one that agrees best with its neighbours (Ridders 1982). Good to about
    1e-12 where f is smooth over a distance of 0.1 around the inputs.
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
    best, doubt = previous[0], np.full(flat.shape, np.inf)
    for level in range(1, LEVELS):
        row = [difference(STEP / 2**level)]
        for j, coarser in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (4**j - 1))
            gap = np.maximum(np.abs(row[j] - row[j - 1]), np.abs(row[j] - coarser))
            best, doubt = np.where(gap < doubt, row[j], best), np.fmin(gap, doubt)
        previous = row
    return unflatten(best)


def complex_step_jvp(f: Callable, inputs: Sequence, directions: Sequence) -> Any:
    """The same for a NumPy function that takes complex arrays, exact to rounding.

    f(x + ihu) is f(x) + ih f'(x)u for h so small that h * h vanishes. f must be analytic, and
    take its branches on the real part.
    """
    result = f(*[x + 1j * (COMPLEX_STEP * u) for x, u in zip(inputs, directions)])
    flat, unflatten = _flattened(result)
    return unflatten(np.imag(flat) / COMPLEX_STEP)


def _flattened(result):
    """The values of one or several arrays in one vector, and the way back."""
    parts = [as_numpy(y) for y in (result if isinstance(result, tuple) else (result,))]
    ends = np.cumsum([y.size for y in parts])

    def unflatten(vector):
        pieces = zip(np.split(vector, ends[:-1]), parts)
        arrays = tuple(piece.reshape(y.shape) for piece, y in pieces)
        return arrays if isinstance(result, tuple) else arrays[0]

    return np.concatenate([y.reshape(-1) for y in parts]), unflatten
