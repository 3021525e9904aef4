"""Numerical derivatives, which derivative rules are checked against: differences, complex step."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigen.testing.closeness import as_numpy

STEP, HALVINGS = 2.0**-7, 4  # differences over STEP, STEP / 2, ... STEP / 2**HALVINGS
EXPONENTS = range(26, -45, -1)  # measured_jvp: of the steps 2**e, as multiples of the direction
COLUMNS = 3  # measured_jvp: extrapolations of each difference
FINEST = 4  # measured_jvp: steps so small that slopes differ by the rounding of f alone
ROUNDINGS = 1024  # measured_jvp: a change of more roundings of an output may be no rounding
EPSILON = 2.0**-52
COMPLEX_STEP = 2.0**-70  # its square is far below the rounding of float64


def numerical_jvp(f: Callable, inputs: Sequence, directions: Sequence) -> Any:
    """J u: the derivative of f at inputs along directions u, in float64; a tuple if f returns one.

    The error is about 1e-12 where f is smooth within a distance of 0.1 of the inputs. Where the
    estimates of `quick_jvp` disagree, those of `measured_jvp` are returned.
    """
    inputs, directions = _in_float64(inputs), _in_float64(directions)
    flat, unflatten = _flattened(f(*inputs))
    if flat.size == 0:
        return unflatten(flat)
    values, gaps = quick_jvp(f, inputs, directions, flat)
    if not (gaps <= 1e-8 * np.abs(values) + 1e-12 * np.abs(flat)).all():
        *_, (measured, errors, _) = measured_jvp(f, inputs, directions)
        values = np.where(errors < gaps, measured, values)
    return unflatten(values)


def quick_jvp(
    f: Callable, inputs: Sequence, directions: Sequence, flat: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(J u, gaps) in one vector each; flat has the outputs f(*inputs) in one vector.

    Central differences, extrapolated to step 0 (Richardson). Each element takes that estimate of
    the table that agrees best with its neighbours (Ridders 1982); gaps says how well.
    """
    steps = STEP / 2.0 ** np.arange(HALVINGS + 1)
    above, below = _around(f, inputs, directions, steps, flat)
    values, gaps = _extrapolated((above - below) / (2 * steps[:, None]), HALVINGS, 4)
    gaps = np.where(np.isfinite(gaps), gaps, np.inf)
    best = gaps.argmin(0)
    return _rows(values, best), _rows(gaps, best)


def one_step(f: Callable, inputs: Sequence, directions: Sequence, flat: np.ndarray) -> np.ndarray:
    """Slopes by one central difference: 0 for outputs that do not depend on the direction."""
    above, below = _around(f, inputs, directions, [STEP], flat)
    return (above[0] - below[0]) / (2 * STEP)


def measured_jvp(
    f: Callable, inputs: Sequence, directions: Sequence, one_sided: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields (J u, error, rounding) for all outputs of f in one vector, from steps of every size.

    Large steps suffer from the curvature of f and from kinks, small ones from rounding. Each
    element goes from the smallest step to larger ones for as long as all estimates agree within
    their errors (Lepski 1990), and takes the one of least error. A step that leaves the domain of
    f (NaN, infinity, an exception) is left out. one_sided: differences of f(x + hu) - f(x), for
    an x at the end of the domain. The error is infinite where no step helps. rounding is that of
    f, and 0 for an element that does not change. An output that only large steps change is
    constant near x, or its changes are rounded away. So there may be two readings: first the one
    that takes such an output for constant, unless its rounding is that of its own size.
    """
    inputs, directions = _in_float64(inputs), _in_float64(directions)
    flat = as_vector(f(*inputs))
    steps = np.array([2.0**e for e in EXPONENTS])
    with np.errstate(all="ignore"):
        above, below = _around(f, inputs, directions, steps, flat, one_sided)
        slopes = (above - below) / (steps if one_sided else 2 * steps)[:, None]
        changed = (above != flat) | (below != flat)
        sizes = np.where(changed, np.max(np.abs([above, below, 0 * below + flat]), 0), 0.0)
        own = EPSILON * np.where(sizes.any(0), np.abs(flat), 0)
        hidden = _first_change(slopes, steps)
        plateau = hidden > ROUNDINGS * own
        readings = [np.where(plateau, 0, hidden), hidden] if plateau.any() else [hidden]
        for rounding in readings:
            yield _lepski(slopes, sizes, steps, np.maximum(own, rounding), 2 if one_sided else 4)


def _first_change(slopes, steps):
    """The change of each output at the finest step that changes it; 0 if that is the last one."""
    changes = np.abs(np.nan_to_num(slopes)) * steps[:, None]
    first = len(steps) - 1 - (changes > 0)[::-1].argmax(0)
    return np.where(slopes[-1] == 0, _rows(changes, first), 0.0)


def _lepski(slopes, sizes, steps, rounding, base):
    """(J u, error, rounding) of `measured_jvp`, for outputs with at least that rounding."""
    column = steps[:, None]
    jumps = np.abs(np.diff(slopes[-FINEST - 1 :], axis=0)) * column[-FINEST:]
    rounding = np.maximum(rounding, np.nan_to_num(jumps).max(0))
    noise = 4 * np.maximum(rounding, EPSILON * sizes) / column
    values, gaps = _extrapolated(slopes, COLUMNS, base)
    errors = 4 * gaps + noise
    errors[~np.isfinite(values + errors)] = np.inf
    # The truncation of slopes falls with the step; if it rises, the step is too large for f.
    changes = np.abs(np.diff(slopes, axis=0))
    too_large = np.zeros(slopes.shape, bool)
    too_large[1:-1] = changes[1:] > 0.6 * changes[:-1] + noise[2:]
    low, high = np.full(rounding.shape, -np.inf), np.full(rounding.shape, np.inf)
    agrees, best = np.ones(rounding.shape, bool), np.full(rounding.shape, len(steps) - 1)
    for k in reversed(range(len(steps))):
        below, above = values[k] - errors[k], values[k] + errors[k]
        finite = np.isfinite(errors[k])
        agrees &= ~finite | ((below <= high) & (above >= low) & ~too_large[k])
        use = finite & agrees
        low = np.where(use & (below > low), below, low)
        high = np.where(use & (above < high), above, high)
        best = np.where(use & (errors[k] < _rows(errors, best)), k, best)
    return _rows(values, best), _rows(errors, best), rounding


def complex_step_jvp(f: Callable, inputs: Sequence, directions: Sequence) -> Any:
    """J u for a NumPy function that takes complex arrays, exact to rounding.

    f(x + ihu) = f(x) + ih J u for an h whose square vanishes in rounding (Squire and Trapp 1998).
    f must be analytic and take its branches by the real part.
    """
    result = f(*[x + 1j * (COMPLEX_STEP * u) for x, u in zip(inputs, directions)])
    flat, unflatten = _flattened(result)
    return unflatten(np.imag(flat) / COMPLEX_STEP)


def _around(f, inputs, directions, steps, flat, one_sided=False):
    """(above, below): the outputs of f at a step forth and back, in one row for each step.

    flat is f(*inputs), and below if one_sided. A row is NaN where a point is outside the domain.
    """

    def at(h):
        try:
            y = as_vector(f(*[x + h * u for x, u in zip(inputs, directions)]))
        except Exception:  # a function may raise anything outside its domain
            y = flat[:0]
        return y if y.shape == flat.shape else np.full(flat.shape, np.nan)

    above = np.array([at(h) for h in steps])
    return above, np.broadcast_to(flat, above.shape) if one_sided else np.array(
        [at(-h) for h in steps]
    )


def _extrapolated(slopes, columns, base):
    """(values, gaps): for each row of slopes the best of its extrapolations to step 0.

    The error of slopes has the terms h**2, h**4, ... for base 4, and h, h**2, ... for base 2. gaps
    is the distance of a value from those that it was computed from; in the first row it is NaN.
    """
    values, gaps, previous = slopes, np.full(slopes.shape, np.inf), slopes
    for j in range(1, columns + 1):
        coarser = np.full(slopes.shape, np.nan)
        coarser[1:] = previous[:-1]
        following = previous + (previous - coarser) / (base**j - 1)
        gap = np.maximum(np.abs(following - previous), np.abs(following - coarser))
        values, gaps = np.where(gap < gaps, following, values), np.fmin(gap, gaps)
        previous = following
    return values, gaps


def _rows(table, row):
    """From each column of a table the element in that row."""
    return np.take_along_axis(table, row[None], 0)[0]


def _in_float64(arrays):
    return [as_numpy(x).astype(np.float64) for x in arrays]


def as_vector(result: Any) -> np.ndarray:
    """All values of an array or a tensor, or of a tuple of them, in one vector."""
    return _flattened(result)[0]


def _flattened(result):
    """All values of an array or a tuple of arrays in one vector, and the inverse function."""
    parts = [as_numpy(y) for y in (result if isinstance(result, tuple) else (result,))]
    ends = np.cumsum([y.size for y in parts])

    def unflatten(vector):
        pieces = zip(np.split(vector, ends[:-1]), parts)
        arrays = tuple(piece.reshape(y.shape) for piece, y in pieces)
        return arrays if isinstance(result, tuple) else arrays[0]

    return np.concatenate([y.reshape(-1) for y in parts]), unflatten
