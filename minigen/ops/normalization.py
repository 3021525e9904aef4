"""Softmax and its logarithm; normalization by layer, by group of channels and by batch."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.graph import Traced, count_write
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array
from minigen.backend.dtypes import FLOATS, checked, floating
from minigen.errors import DTypeError, GradError, ShapeError
from minigen.ops.elementwise import add, exp, multiply, reciprocal, sqrt, square, subtract
from minigen.ops.linalg import rows_of
from minigen.ops.reduce import mean, sum
from minigen.ops.shape import astype, axis_index, reshape

# The rules of softmax and log_softmax read their output alone. Each is itself a fused op: fast
# on raw arrays, its definition when derivatives of derivatives are asked for.


@fused(lambda g, y, axis: y * (g - sum(g * y, axis, keepdims=True)))
def softmax_vjp(g: Array, y: Array, *, axis: int) -> Array:
    """The cotangent of x for the cotangent g of y = softmax(x)."""
    return kernels.softmax_vjp(g, y, axis), None


@fused(lambda g, y, axis: g - exp(y) * sum(g, axis, keepdims=True))
def log_softmax_vjp(g: Array, y: Array, *, axis: int) -> Array:
    """The cotangent of x for the cotangent g of y = log_softmax(x)."""
    return kernels.log_softmax_vjp(g, y, axis), None


@primitive(lambda g, y, x, axis: softmax_vjp(g, y, axis), saves="y", prepare=floating)
def softmax(x: Array, *, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) over axis; NaN for a slice of nothing but -inf."""
    return kernels.softmax(x, axis_index(axis, x.ndim))


@primitive(lambda g, y, x, axis: log_softmax_vjp(g, y, axis), saves="y", prepare=floating)
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """x - log(sum(exp(x))) over axis, the logarithm of softmax without its rounding to 0."""
    axis = axis_index(axis, x.ndim)
    return kernels.log_softmax(x, axis) if x.size else x.copy()


def _layer_norm_definition(x, weight, bias, eps):
    centred = subtract(x, mean(x, -1, keepdims=True))
    y = multiply(centred, reciprocal(sqrt(mean(square(centred), -1, keepdims=True) + eps)))
    y = y if weight is None else multiply(y, weight)
    return y if bias is None else add(y, bias)


def _layer_norm_backward(g, statistics, wanted, x, weight, bias, eps):
    gx, *rest = kernels.layer_norm_vjp(rows_of(g), rows_of(x), weight, *statistics)
    return gx.reshape(x.shape), *rest


@fused(_layer_norm_definition, _layer_norm_backward, returns_new=True)
def _layer_norm(x, weight, bias, *, eps):
    y, *statistics = kernels.layer_norm(rows_of(x), weight, bias, eps)
    return y.reshape(x.shape), statistics


@composite
def layer_norm(
    x: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """The last axes of x, of normalized_shape, to mean 0 and variance 1 (Ba et al. 2016).

    y = (x - mean) / sqrt(var + eps) * weight + bias, both of normalized_shape.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[x.ndim - len(shape) :] != shape or len(shape) > x.ndim:
        raise ShapeError(f"layer_norm: the last axes of x {x.shape} are not {shape}")
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and p.shape != shape:
            raise ShapeError(f"layer_norm: {name} {p.shape} must have shape {shape}")
    x, weight, bias = _of_one_dtype(x, weight, bias)
    if len(shape) == 1:
        return _layer_norm(x, weight, bias, eps=eps)
    rows = reshape(x, (*x.shape[: x.ndim - len(shape)], math.prod(shape)))
    weight, bias = (None if p is None else reshape(p, (-1,)) for p in (weight, bias))
    return reshape(_layer_norm(rows, weight, bias, eps=eps), x.shape)


def _of_one_dtype(*arrays):
    """The arrays, of which some may be None, in the dtype that they promote to."""
    dtype = arrays[0].dtype
    if dtype in FLOATS and all(p is None or p.dtype == dtype for p in arrays):
        return arrays
    dtype = np.result_type(*(p.dtype for p in floating(arrays) if p is not None))
    return [p if p is None else astype(p, dtype) for p in arrays]


# ---------------------------------------------------------------------- groups of channels


@composite
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """Each of num_groups blocks of channels of x (N, C, ...) to mean 0 and variance 1.

    Sample by sample (Wu and He 2018); then times weight (C,), plus bias (C,).
    """
    _check_channels("group_norm", x, weight=weight, bias=bias)
    N, C = x.shape[:2]
    if not isinstance(num_groups, int | np.integer) or num_groups < 1 or C % num_groups:
        raise ValueError(f"group_norm: num_groups={num_groups!r} must divide the {C} channels of x")
    x, weight, bias = _of_one_dtype(x, weight, bias)
    rows = reshape(x, (N * num_groups, C // num_groups * math.prod(x.shape[2:])))
    y = reshape(_layer_norm(rows, None, None, eps=eps), x.shape)
    y = y if weight is None else multiply(y, _by_channel(weight, x))
    return y if bias is None else add(y, _by_channel(bias, x))


def _by_channel(p, x):
    """p (C,) in a shape that broadcasts against x (N, C, ...)."""
    return reshape(p, (x.shape[1], *(1 for _ in x.shape[2:])))


def _check_channels(name, x, **params):
    if x.ndim < 2:
        raise ShapeError(f"{name}: x must be (N, C, ...), got shape {x.shape}")
    for argument, p in params.items():
        if p is not None and p.shape != x.shape[1:2]:
            raise ShapeError(
                f"{name}: {argument} {p.shape} must have shape {x.shape[1:2]}, "
                f"one value for each channel of x {x.shape}"
            )
    checked((x, *params.values()))


# ----------------------------------------------------------------------------------- batch


def _batch_norm_definition(x, weight, bias, running_mean, running_var, momentum, eps):
    centred = subtract(x, mean(x, (0, 2), keepdims=True))
    y = multiply(centred, reciprocal(sqrt(mean(square(centred), (0, 2), keepdims=True) + eps)))
    y = y if weight is None else multiply(y, _by_channel(weight, x))
    return y if bias is None else add(y, _by_channel(bias, x))


def _batch_norm_backward(
    g, statistics, wanted, x, weight, bias, running_mean, running_var, momentum, eps
):
    return *kernels.batch_norm_vjp(g, x, weight, *statistics), None, None


@fused(
    _batch_norm_definition,
    _batch_norm_backward,
    returns_new=True,
    writes=("running_mean", "running_var"),
)
def _batch_norm(x, weight, bias, running_mean, running_var, *, momentum, eps):
    """x (N, C, S) by the statistics of the batch, of which the running ones take their share."""
    y, mean, variance, rstd = kernels.batch_norm(x, weight, bias, eps)
    count = len(x) * x.shape[2]
    if running_mean is not None:
        running_mean += momentum * (mean - running_mean)
    if running_var is not None:  # without the bias of a variance about the batch's own mean
        running_var += momentum * (variance * (count / (count - 1)) - running_var)
    return y, (mean, rstd)


@composite
def batch_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Each channel of x (N, C, ...) to mean 0 and variance 1 (Ioffe and Szegedy 2015).

    y = (x - mean) / sqrt(var + eps) * weight + bias, all (C,): with the running statistics, or in
    training with those of the batch. Training writes into the running statistics that it is given:
    r = (1 - momentum) * r + momentum * (that of the batch, the variance with N - 1).
    """
    running = {"running_mean": running_mean, "running_var": running_var}
    _check_channels("batch_norm", x, **running, weight=weight, bias=bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: needs running_mean and running_var unless training=True")
        # Statistics that are no buffer have no version, and a later batch may write into them.
        kept = [r if isinstance(r, Traced) and r.node else raw(r).copy() for r in running.values()]
        m, v, w, b = (None if p is None else _by_channel(p, x) for p in (*kept, weight, bias))
        scale = reciprocal(sqrt(add(v, eps)))
        y = multiply(subtract(x, m), scale if w is None else multiply(scale, w))
        return y if b is None else add(y, b)
    N, C, S = *x.shape[:2], math.prod(x.shape[2:])
    if N * S == 1:
        raise ValueError(
            f"batch_norm: training needs more than one value for each channel, got x {x.shape}"
        )
    for name, r in running.items():
        if isinstance(r, Traced) and r.requires_grad:
            raise GradError(f"batch_norm: training writes into {name}, so it cannot require grad")
        if r is not None and r.dtype.kind != "f":
            raise DTypeError(f"batch_norm: {name} must be of a float dtype, got {r.dtype}")
    x3, weight, bias = _of_one_dtype(reshape(x, (N, C, S)), weight, bias)
    y = _batch_norm(x3, weight, bias, *map(raw, running.values()), momentum=momentum, eps=eps)
    for r in running.values():
        if isinstance(r, Traced):
            count_write(r.node)  # an evaluating graph may have read it
    return reshape(y, x.shape)
