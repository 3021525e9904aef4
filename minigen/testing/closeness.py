"""The error measure of every numerical check, and its limits for float32 and float64."""

from typing import Any

import numpy as np

from minigen.autodiff.graph import Traced
from minigen.backend.devices import to_numpy

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# Limits of relative_error by dtype: of results, gradients and second derivatives.
FORWARD = {FLOAT64: 1e-12, FLOAT32: 2e-6}
GRADIENT = {FLOAT64: 1e-11, FLOAT32: 1e-5}
SECOND_ORDER = {FLOAT64: 1e-10, FLOAT32: 1e-4}


def as_numpy(x: Any) -> np.ndarray:
    """A tensor, an array of any device or a number as a NumPy array."""
    return np.asarray(to_numpy(x.data if isinstance(x, Traced) else x))


def relative_error(got: Any, want: Any, scale: float | None = None) -> float:
    """max|got - want| / scale over the finite values; by default scale is max(1, max|want|).

    Infinities and NaN must be at the same indices, or else the error is infinite. The error is
    relative to the largest value, not to each: a correct float32 matrix product has small
    elements that cancellation leaves with few right digits.
    """
    got, want = as_numpy(got), as_numpy(want)
    if got.shape != want.shape or not _same_special_values(got, want):
        return np.inf
    finite = np.isfinite(want)
    difference = np.abs(_wide(got)[finite] - _wide(want)[finite])
    if scale is None:
        scale = max(1.0, np.abs(_wide(want)[finite]).max(initial=0))
    return float(difference.max(initial=0) / scale)


def assert_close(got: Any, want: Any, limit: float | None = None, name: str = "result") -> None:
    """AssertionError unless shape and dtype are equal and the error is within limit.

    By default the limit is that of a forward pass in the dtype of want: 1e-12 in float64, 2e-6
    in float32, 0 in integers and booleans.
    """
    got, want = as_numpy(got), as_numpy(want)
    if got.shape != want.shape:
        raise AssertionError(f"{name}: shape {got.shape}, expected {want.shape}")
    if got.dtype != want.dtype:
        raise AssertionError(f"{name}: dtype {got.dtype}, expected {want.dtype}")
    limit = FORWARD.get(want.dtype, 0.0) if limit is None else limit
    error = relative_error(got, want)
    if error <= limit:
        return
    gap = np.where(_agree(got, want), 0.0, np.inf)
    finite = np.isfinite(want) & np.isfinite(got)
    np.subtract(_wide(got), _wide(want), out=gap, where=finite)
    worst = np.unravel_index(np.argmax(np.abs(gap)), gap.shape)
    raise AssertionError(
        f"{name}: error {error:.3g}, limit {limit:.3g}; worst at index "
        f"{tuple(int(i) for i in worst)}: got {got[worst]!r}, expected {want[worst]!r}"
    )


def _wide(x):
    return x.astype(np.float64)


def _agree(got, want):
    """A mask of the elements that are both finite, the same infinity, or both NaN."""
    if want.dtype.kind != "f" or got.dtype.kind != "f":
        return np.ones(want.shape, bool)
    equal = (got == want) | (np.isnan(got) & np.isnan(want))
    return np.where(np.isfinite(want), np.isfinite(got), equal)


def _same_special_values(got, want):
    return bool(_agree(got, want).all())
