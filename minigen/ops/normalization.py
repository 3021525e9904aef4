"""Softmax and its logarithm, and layer normalization."""

import math

import numpy as np

from minigen import kernels
from minigen.backend import Array, floating
from minigen.errors import ShapeError
from minigen.ops.elementwise import add, exp, multiply, reciprocal, sqrt, square, subtract
from minigen.ops.reduce import mean, sum
from minigen.ops.shape import astype, axis_index, reshape
from minigen.primitives import composite, fused, primitive

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
    centred = subtract(x, mean(x, 1, keepdims=True))
    y = multiply(centred, reciprocal(sqrt(mean(square(centred), 1, keepdims=True) + eps)))
    y = y if weight is None else multiply(y, weight)
    return y if bias is None else add(y, bias)


def _layer_norm_backward(g, statistics, wanted, x, weight, bias, eps):
    return kernels.layer_norm_vjp(g, x, weight, *statistics)


@fused(_layer_norm_definition, _layer_norm_backward)
def _layer_norm(x, weight, bias, *, eps):
    y, *statistics = kernels.layer_norm(x, weight, bias, eps)
    return y, statistics


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
    dtype = np.result_type(*(p.dtype for p in floating([x, weight, bias]) if p is not None))
    x, weight, bias = (p if p is None else astype(p, dtype) for p in (x, weight, bias))
    size = math.prod(shape)
    rows = reshape(x, (math.prod(x.shape[: x.ndim - len(shape)]), size))
    weight, bias = (None if p is None else reshape(p, (size,)) for p in (weight, bias))
    return reshape(_layer_norm(rows, weight, bias, eps=eps), x.shape)
