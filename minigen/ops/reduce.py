"""Reductions. axis is None for all axes, an int or a tuple; keepdims keeps them with length 1."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array, array_module, largest
from minigen.backend.dtypes import floating
from minigen.errors import ShapeError
from minigen.kernels.reference.sums import SHORT
from minigen.ops.elementwise import abs, divide, exp, multiply, where
from minigen.ops.joining import concatenate
from minigen.ops.powers import signed_power
from minigen.ops.shape import (
    astype,
    axis_index,
    axis_tuple,
    broadcast_scalar,
    broadcast_to,
    flip,
    moveaxis,
    reshape,
)

Axis = int | tuple[int, ...] | None
SHORT_PRODUCT = 64  # factors: more are multiplied in double precision


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """axis as a tuple of numbers in [0, ndim); all axes for None."""
    return tuple(range(ndim)) if axis is None else axis_tuple(axis, ndim)


def reduced_size(x, axis: Axis) -> int:
    """The number of values of x that are reduced to one result."""
    if axis is None:
        return math.prod(x.shape)
    return math.prod(x.shape[i] for i in axes_of(axis, len(x.shape)))


def with_kept_axes(r, x, axis: Axis):
    """r, the result of a reduction of x over axis, in the shape that keepdims=True gives."""
    axes = axes_of(axis, len(x.shape))
    return reshape(r, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def spread(r, x, axis: Axis):
    """r, the result of a reduction of x over axis, broadcast to the shape of x."""
    if isinstance(r, np.ndarray | np.generic) and r.shape == ():  # in each walk from a scalar loss
        return broadcast_scalar(r, x.shape)
    return broadcast_to(with_kept_axes(r, x, axis) if r.ndim else r, x.shape)


# ------------------------------------------------------------------------- sums and means


@primitive(lambda g, y, x, axis, keepdims: spread(g, x, axis))
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over axis; 0 for no values."""
    return kernels.sum_over(x, axes_of(axis, x.ndim), keepdims)


@primitive(
    lambda g, y, x, axis, keepdims: spread(g * _ratio(1, reduced_size(x, axis)), x, axis),
    prepare=floating,
)
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over axis; NaN for no values."""
    total = kernels.sum_over(x, axes_of(axis, x.ndim), keepdims)
    return total / (reduced_size(x, axis) or math.nan)


@primitive(
    lambda g, y, x, axis, ddof, keepdims: (
        spread(g, x, axis) * _deviation(x, axis) * _ratio(2, reduced_size(x, axis) - ddof)
    ),
    saves="x",
    prepare=floating,
)
def var(x: Array, *, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Array:
    """The variance over axis: sum((x - mean)^2) / (n - ddof) of n values; NaN if n <= ddof."""
    axis = axes_of(axis, x.ndim)
    d, n = x, reduced_size(x, axis)
    for _ in range(2):  # see `_deviation`
        d = d - kernels.sum_over(d, axis, True) / (n or math.nan)
    return kernels.sum_over(d * d, axis, keepdims) * _ratio(1, n - ddof)


@primitive(
    lambda g, y, x, axis, ddof, keepdims: (
        spread(_quotient(g, y), x, axis)
        * _deviation(x, axis)
        * _ratio(1, reduced_size(x, axis) - ddof)
    ),
    saves="x y",
    prepare=floating,
)
def std(x: Array, *, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Array:
    """The standard deviation over axis, sqrt(var). The gradient is 0 where it is 0."""
    return np.sqrt(var(x, axes_of(axis, x.ndim), ddof, keepdims))


def _deviation(x, axis):
    """x minus its mean over axis.

    The mean is rounded, by 0.004 at 10^5: so the mean of the deviations is subtracted from them
    (the corrected two-pass algorithm of Chan, Golub and LeVeque 1983).
    """
    d = x - mean(x, axis, keepdims=True)
    return d - mean(d, axis, keepdims=True)


def _ratio(a, n):
    """a / n; NaN if n <= 0."""
    return a / n if n > 0 else math.nan


def _quotient(g, y):
    """g / y, but the constant 0 where y is 0: so all derivatives are 0 there, where none exists."""
    return where(y == 0, 0.0, divide(g, where(y == 0, 1.0, y)))


@primitive(lambda g, y, x, axis: flip(cumsum(flip(g, axis), axis), axis))
def cumsum(x: Array, *, axis: int) -> Array:
    """The cumulative sum along axis, y[i] = x[0] + ... + x[i]."""
    axis = axis_index(axis, x.ndim)
    if x.dtype.kind != "f":
        return np.cumsum(x, axis, np.int64)
    y = np.cumsum(x, axis, np.float64 if x.shape[axis] > SHORT else None)
    return y.astype(x.dtype, copy=False)


@composite
def cumprod(x: Array, axis: int) -> Array:
    """The cumulative product along axis, y[i] = x[0] * ... * x[i]."""
    axis = axis_index(axis, x.ndim)
    before, n, width = (slice(None),) * axis, x.shape[axis], 1
    dtype = x.dtype if x.dtype.kind == "f" else np.int64
    y = astype(x, _dtype_of_factors(dtype, n))
    while width < n:  # y[i] is the product of the last `width` values; log2(n) steps
        longer = multiply(y[(*before, slice(width, n))], y[(*before, slice(n - width))])
        y = concatenate([y[(*before, slice(width))], longer], axis)
        width = 2 * width
    return astype(y, dtype)


def _dtype_of_factors(dtype, n):
    """The dtype in which n factors are multiplied: each float32 product is rounded, by 6e-8."""
    return np.float64 if dtype == np.float32 and n > SHORT_PRODUCT else dtype


# ------------------------------------------------------------------------------- extremes


def _extreme_rule(g, y, x, axis, keepdims):
    """The rule of max and min: g / n for each of the n values that equal y; NaN where y is NaN."""
    equal = x == spread(y, x, axis)
    n = equal.sum(axes_of(axis, x.ndim), keepdims=True)  # 0 where y is NaN
    others = where(n == 0, math.nan, 0.0).astype(g.dtype)
    return where(equal, spread(divide(with_kept_axes(g, x, axis), n), x, axis), others)


@primitive(_extreme_rule, saves="x y")
def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest value over axis; NaN if a value is NaN. Equal maxima get equal parts of g.

    ShapeError for no values.
    """
    return np.max(_not_empty("max", x, axis), axes_of(axis, x.ndim), keepdims=keepdims)


@primitive(_extreme_rule, saves="x y")
def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest value over axis; NaN if a value is NaN. Equal minima get equal parts of g.

    ShapeError for no values.
    """
    return np.min(_not_empty("min", x, axis), axes_of(axis, x.ndim), keepdims=keepdims)


def _not_empty(name, x, axis):
    if reduced_size(x, axis) == 0 and x.size == 0:
        raise ShapeError(f"{name} of nothing: axis {axis} of shape {x.shape} has no values")
    return x


# ------------------------------------------------------------------- products and powers


@composite
def prod(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The product over axis; 1 for no values. Its gradient is right for zeros too: no division."""
    axes = axes_of(axis, x.ndim)
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    rest = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    n = reduced_size(x, axis)
    dtype = x.dtype if x.dtype.kind == "f" else np.int64
    x = astype(x, _dtype_of_factors(dtype, n))
    x = reshape(moveaxis(x, axes, tuple(range(len(axes)))), (n, *rest))
    if n == 0:
        x, n = concatenate([x, array_module(raw(x)).ones((1, *rest), x.dtype)]), 1
    while n > 1:  # multiply the two halves: log2(n) times
        half = n // 2
        x = concatenate([multiply(x[:half], x[half : 2 * half]), x[2 * half :]])
        n -= half
    return astype(reshape(x, shape if keepdims else rest), dtype)


@primitive(
    lambda g, y, x, axis, keepdims: spread(g, x, axis) * exp(x - spread(y, x, axis)),
    saves="x y",
    prepare=floating,
)
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over axis, without overflow; -inf for no values, or if all are -inf."""
    axis = axes_of(axis, x.ndim)
    top = largest(x, axis, -math.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        y = np.log(kernels.sum_over(np.exp(x - top), axis, True)) + top
    return y if keepdims else y.squeeze(axis)


@composite
def norm(x: Array, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Array:
    """The vector norm (sum of |x|^ord)^(1 / ord) over axis; for ord inf the largest |x|.

    Where it has no derivative the gradient is 0: at the zero vector, and for ord <= 1 at each 0.
    ValueError unless ord > 0.
    """
    if isinstance(ord, str):
        raise ValueError(f"norm: ord must be a number, got {ord!r}; 'fro' is 2")
    if not ord > 0:
        raise ValueError(f"norm: ord must be positive, got {ord}")
    ord = float(ord)
    if ord == math.inf:
        return max(abs(x), axis, keepdims)
    return _norm(x, ord=ord, axis=axis, keepdims=keepdims)


@primitive(
    # dy/dx = sign(x) |x / y|^(ord - 1)
    lambda g, y, x, ord, axis, keepdims: (
        spread(where(y == 0, 0.0, g), x, axis)
        * signed_power(x / spread(where(y == 0, 1.0, y), x, axis), ord - 1)
    ),
    saves="x y",
    prepare=floating,
)
def _norm(x, *, ord, axis, keepdims):
    axis, size = axes_of(axis, x.ndim), np.abs(x)
    top = largest(size, axis, 0)  # x is divided by it, so that no power overflows
    scale = np.where((top > 0) & np.isfinite(top), top, 1)
    y = kernels.sum_over((size / scale) ** ord, axis, True) ** (1 / ord) * scale
    return y if keepdims else y.squeeze(axis)
