"""Reductions over axes, all with axis=None (all), an int or a tuple, and keepdims."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array, array_module, largest
from minigen.backend.dtypes import floating
from minigen.errors import ShapeError
from minigen.ops.elementwise import abs, divide, exp, multiply, power, sign, where
from minigen.ops.joining import concatenate
from minigen.ops.shape import (
    astype,
    axis_index,
    axis_tuple,
    broadcast_to,
    flip,
    moveaxis,
    repeated,
    reshape,
)

Axis = int | tuple[int, ...] | None


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes meant, counted from the front."""
    return tuple(range(ndim)) if axis is None else axis_tuple(axis, ndim)


def count_of(x, axis: Axis) -> int:
    """How many values each result of a reduction of x comes from."""
    if axis is None:
        return math.prod(x.shape)
    return math.prod(x.shape[i] for i in axes_of(axis, len(x.shape)))


def with_kept_axes(r, x, axis: Axis):
    """A result r of a reduction of x with its reduced axes back, as keepdims leaves them."""
    axes = axes_of(axis, len(x.shape))
    return reshape(r, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def spread(r, x, axis: Axis):
    """A result r of a reduction of x repeated to the shape of x."""
    if isinstance(r, np.ndarray | np.generic) and r.shape == ():  # in each walk back from a loss
        return repeated(r, x.shape)
    return broadcast_to(with_kept_axes(r, x, axis) if r.ndim else r, x.shape)


# ------------------------------------------------------------------------- sums and means


@primitive(lambda g, y, x, axis, keepdims: spread(g, x, axis))
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over axis; 0 of nothing."""
    axes = axes_of(axis, x.ndim)
    if axes == (0, 2, 3) and x.ndim == 4 and not keepdims:  # of each channel of images
        return kernels.sum_channels(x.reshape(*x.shape[:2], x.shape[2] * x.shape[3]))
    return x.sum(axes, keepdims=keepdims)


@primitive(
    lambda g, y, x, axis, keepdims: spread(g * _over(1, count_of(x, axis)), x, axis),
    prepare=floating,
)
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over axis; NaN of nothing."""
    return x.sum(axes_of(axis, x.ndim), keepdims=keepdims) / (count_of(x, axis) or math.nan)


@primitive(
    lambda g, y, x, axis, ddof, keepdims: (
        spread(g, x, axis) * _deviation(x, axis) * _over(2, count_of(x, axis) - ddof)
    ),
    saves="x",
    prepare=floating,
)
def var(x: Array, *, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Array:
    """The mean square distance from the mean, with count - ddof for the count; NaN for 0 / 0."""
    axis = axes_of(axis, x.ndim)
    d = _deviation(x, axis)
    return np.sum(d * d, axis, keepdims=keepdims) * _over(1, count_of(x, axis) - ddof)


@primitive(
    lambda g, y, x, axis, ddof, keepdims: (
        spread(divide(g, _nonzero(y)), x, axis)
        * _deviation(x, axis)
        * _over(1, count_of(x, axis) - ddof)
    ),
    saves="x y",
    prepare=floating,
)
def std(x: Array, *, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Array:
    """The square root of `var`, with gradient 0 where it is 0."""
    return np.sqrt(var(x, axes_of(axis, x.ndim), ddof, keepdims))


def _deviation(x, axis):
    return x - mean(x, axis, keepdims=True)


def _over(factor, count):
    """factor / count; NaN where there is no count."""
    return factor / count if count > 0 else math.nan


def _nonzero(y):
    """y with 1 for 0, to divide zeros by."""
    return where(y == 0, 1.0, y)


@primitive(lambda g, y, x, axis: flip(cumsum(flip(g, axis), axis), axis))
def cumsum(x: Array, *, axis: int) -> Array:
    """The running sum along axis."""
    return np.cumsum(x, axis_index(axis, x.ndim))


# ------------------------------------------------------------------------------- extremes


def _tied(g, y, x, axis, keepdims):
    """g shared evenly by the elements that equal the extreme y; NaN where that is NaN."""
    here = x == raw(spread(raw(y), x, axis))
    count = here.sum(axes_of(axis, x.ndim), keepdims=True)
    rest = where(count == 0, math.nan, 0.0).astype(g.dtype)
    return where(here, spread(divide(with_kept_axes(g, x, axis), count), x, axis), rest)


@primitive(_tied, saves="x y")
def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest value over axis; NaN if there is one; ties share the gradient evenly."""
    return np.max(_not_empty("max", x, axis), axes_of(axis, x.ndim), keepdims=keepdims)


@primitive(_tied, saves="x y")
def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest value over axis; NaN if there is one; ties share the gradient evenly."""
    return np.min(_not_empty("min", x, axis), axes_of(axis, x.ndim), keepdims=keepdims)


def _not_empty(name, x, axis):
    if count_of(x, axis) == 0 and x.size == 0:
        raise ShapeError(f"{name} of nothing: axis {axis} of shape {x.shape} has no values")
    return x


# ------------------------------------------------------------------- products and powers


@composite
def prod(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The product over axis; 1 of nothing. Its derivatives need no division, so zeros are fine."""
    axes = axes_of(axis, x.ndim)
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    rest = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    count = count_of(x, axis)
    x = astype(x, np.prod(np.empty(0, x.dtype)).dtype)
    x = reshape(moveaxis(x, axes, tuple(range(len(axes)))), (count, *rest))
    if count == 0:
        x, count = concatenate([x, array_module(raw(x)).ones((1, *rest), x.dtype)]), 1
    while count > 1:  # multiply halves: log2(count) ops
        half = count // 2
        x = concatenate([multiply(x[:half], x[half : 2 * half]), x[2 * half :]])
        count -= half
    return reshape(x, shape if keepdims else rest)


@primitive(
    lambda g, y, x, axis, keepdims: spread(g, x, axis) * exp(x - spread(y, x, axis)),
    saves="x y",
    prepare=floating,
)
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over axis; -inf of nothing and of nothing but -inf."""
    axis = axes_of(axis, x.ndim)
    top = largest(x, axis, -math.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        y = np.log(np.sum(np.exp(x - top), axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


@composite
def norm(x: Array, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Array:
    """The vector norm (sum of |x|^ord)^(1 / ord) over axis; ord > 0, inf for the largest |x|.

    Its gradient at the zero vector is 0 for ord >= 1.
    """
    ord = float(ord)
    if not ord > 0:
        raise ValueError(f"norm: ord must be positive, got {ord}")
    if ord == math.inf:
        return max(abs(x), axis, keepdims)
    return _norm(x, ord=ord, axis=axis, keepdims=keepdims)


@primitive(
    lambda g, y, x, ord, axis, keepdims: (
        spread(g, x, axis) * _norm_slope(x, spread(_nonzero(y), x, axis), ord)
    ),
    saves="x y",
    prepare=floating,
)
def _norm(x, *, ord, axis, keepdims):
    axis, size = axes_of(axis, x.ndim), np.abs(x)
    top = largest(size, axis, 0)  # scaled by it, no power overflows
    scale = np.where((top > 0) & np.isfinite(top), top, 1)
    y = np.sum((size / scale) ** ord, axis, keepdims=True) ** (1 / ord) * scale
    return y if keepdims else y.squeeze(axis)


def _norm_slope(x, y, ord):
    if ord == 2:
        return x / y
    return sign(x) if ord == 1 else sign(x) * power(abs(x) / y, ord - 1)
