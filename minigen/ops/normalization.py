"""Softmax and log-softmax; layer norm, group norm and batch norm."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.graph import Traced, count_write
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array
from minigen.backend.dtypes import FLOATS, checked, floating
from minigen.communication.world import current
from minigen.errors import DTypeError, GradError, ShapeError
from minigen.ops.elementwise import add, exp, multiply, reciprocal, sqrt, square, subtract
from minigen.ops.linalg import rows_of
from minigen.ops.ranks import batch_norm_of_ranks
from minigen.ops.reduce import mean, sum
from minigen.ops.shape import astype, axis_index, reshape

# The rules of softmax and log_softmax read only y, not x. Each is a fused op: a kernel for raw
# arrays, and for higher derivatives the definition, which can be differentiated again.


@fused(lambda g, y, axis: y * (g - sum(g * y, axis, keepdims=True)))
def softmax_vjp(g: Array, y: Array, *, axis: int) -> Array:
    """gx = y * (g - sum over axis of g * y): the VJP of y = softmax(x)."""
    return kernels.softmax_vjp(g, y, axis), None


@fused(lambda g, y, axis: g - exp(y) * sum(g, axis, keepdims=True))
def log_softmax_vjp(g: Array, y: Array, *, axis: int) -> Array:
    """gx = g - exp(y) * (sum over axis of g): the VJP of y = log_softmax(x)."""
    return kernels.log_softmax_vjp(g, y, axis), None


@primitive(lambda g, y, x, axis: softmax_vjp(g, y, axis), saves="y", prepare=floating)
def softmax(x: Array, *, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)), the sum over axis; NaN along axis if all its values are -inf."""
    return kernels.softmax(x, axis_index(axis, x.ndim))


@primitive(lambda g, y, x, axis: log_softmax_vjp(g, y, axis), saves="y", prepare=floating)
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """log(softmax(x)) over axis, as x - log(sum(exp(x))): finite where softmax rounds to 0."""
    axis = axis_index(axis, x.ndim)
    return kernels.log_softmax(x, axis) if x.size else x.copy()


def _layer_norm_definition(x, weight, bias, eps):
    """`layer_norm` over the last axis: x (..., D), weight and bias (D,) or None."""
    centred = subtract(x, mean(x, -1, keepdims=True))
    y = multiply(centred, reciprocal(sqrt(mean(square(centred), -1, keepdims=True) + eps)))
    y = y if weight is None else multiply(y, weight)
    return y if bias is None else add(y, bias)


def _layer_norm_backward(g, statistics, wanted, x, weight, bias, eps):
    """The VJP of y = hat * weight + bias, hat = (x - mean) * rstd, for g and x (..., D).

    mean and rstd = 1 / sqrt(var + eps) are the statistics, (M, 1) each, M rows of D values.
        gh      = g * weight                                                     (..., D)
        gx      = (gh - rowmean(gh) - hat * rowmean(gh * hat)) * rstd            (..., D)
        gweight = sum over rows of g * hat,  gbias = sum over rows of g          (D,)
    rowmean is the mean over D. In a row, d rstd = -rstd^2 * rowmean(hat * dx), so the Jacobian is
        d hat / dx = rstd * (I - 1 1^T / D - hat hat^T / D)                      (D, D)
    with a term for the mean and one for rstd. It is symmetric, so gx = (d hat / dx) gh. (Ba et al.
    2016. The kernel is `kernels.reference.layer_norm_vjp`.)
    """
    gx, *rest = kernels.layer_norm_vjp(rows_of(g), rows_of(x), weight, *statistics)
    return gx.reshape(x.shape), *rest


@fused(_layer_norm_definition, _layer_norm_backward, returns_new=True)
def _layer_norm(x, weight, bias, *, eps):
    """`layer_norm` over the last axis: x (..., D), weight and bias (D,) or None."""
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
    """y = (x - mean) / sqrt(var + eps) * weight + bias (Ba et al. 2016).

    mean and var are those over the last axes of x, which have the shape normalized_shape (var
    divides by the number of values). weight and bias have normalized_shape, or are None.
    """
    shape = _normalized_axes("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    x, weight, bias = _promoted_arrays(x, weight, bias)
    if len(shape) == 1:
        return _layer_norm(x, weight, bias, eps=eps)
    rows = reshape(x, (*x.shape[: x.ndim - len(shape)], math.prod(shape)))
    weight, bias = (None if p is None else reshape(p, (-1,)) for p in (weight, bias))
    return reshape(_layer_norm(rows, weight, bias, eps=eps), x.shape)


@composite
def rms_norm(
    x: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    eps: float | None = None,
) -> Array:
    """y = x / sqrt(mean(x^2) + eps) * weight, the mean over the last axes (Zhang, Sennrich 2019).

    These have the shape normalized_shape, as weight has; eps is the dtype's epsilon by default.
    """
    shape = _normalized_axes("rms_norm", x, normalized_shape, weight=weight)
    x, weight = _promoted_arrays(x, weight)
    axes = tuple(range(-len(shape), 0))
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    y = multiply(x, reciprocal(sqrt(mean(square(x), axes, keepdims=True) + eps)))
    return y if weight is None else multiply(y, weight)


def _normalized_axes(name, x, normalized_shape, **params):
    """normalized_shape as a tuple; ShapeError unless it is that of x's last axes and of params."""
    whole = isinstance(normalized_shape, int | np.integer)
    shape = (int(normalized_shape),) if whole else tuple(normalized_shape)
    if not shape or x.shape[x.ndim - len(shape) :] != shape or len(shape) > x.ndim:
        raise ShapeError(f"{name}: the last axes of x {x.shape} are not {shape}")
    for argument, p in params.items():
        if p is not None and p.shape != shape:
            raise ShapeError(f"{name}: {argument} {p.shape} must have shape {shape}")
    return shape


def _promoted_arrays(*arrays):
    """The arrays, each an array or None, in the dtype that they promote to."""
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
    """y = (x - mean) / sqrt(var + eps) * weight + bias (Wu and He 2018), x and y (N, C, ...).

    mean and var are those of each sample and each of num_groups blocks of C / num_groups channels.
    weight and bias are (C,), or None.
    """
    _check_channels("group_norm", x, weight=weight, bias=bias)
    N, C = x.shape[:2]
    if not isinstance(num_groups, int | np.integer) or num_groups < 1 or C % num_groups:
        raise ValueError(f"group_norm: num_groups={num_groups!r} must divide the {C} channels of x")
    x, weight, bias = _promoted_arrays(x, weight, bias)
    rows = reshape(x, (N * num_groups, C // num_groups * math.prod(x.shape[2:])))
    y = reshape(_layer_norm(rows, None, None, eps=eps), x.shape)
    y = y if weight is None else multiply(y, _broadcastable(weight, x))
    return y if bias is None else add(y, _broadcastable(bias, x))


def _broadcastable(p, x):
    """p (C,) in a shape that broadcasts against x (N, C, ...)."""
    return reshape(p, (x.shape[1], *(1 for _ in x.shape[2:])))


def _check_channels(name, x, **params):
    """ShapeError unless x is (N, C, ...) and each of params (C,) or None; DTypeError for dtypes."""
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
    """`batch_norm` in training, x (N, C, S); the running statistics do not enter y."""
    centred = subtract(x, mean(x, (0, 2), keepdims=True))
    y = multiply(centred, reciprocal(sqrt(mean(square(centred), (0, 2), keepdims=True) + eps)))
    y = y if weight is None else multiply(y, _broadcastable(weight, x))
    return y if bias is None else add(y, _broadcastable(bias, x))


def _batch_norm_backward(
    g, statistics, wanted, x, weight, bias, running_mean, running_var, momentum, eps
):
    """The VJP of y = hat * weight + bias, hat = (x - mean) * rstd, for g and x (N, C, S).

    mean and rstd = 1 / sqrt(var + eps) are the statistics, (C,) each; sums are over N and S, and
    m = N * S.
        gbias = sum(g),  gweight = sum(g * hat)                                (C,)
        gx    = weight * rstd * (g - gbias / m - hat * gweight / m)            (N, C, S)
    In a channel, d hat / dx = rstd * (I - 1 1^T / m - hat hat^T / m), as in `_layer_norm_backward`;
    weight is constant over a channel. (Ioffe and Szegedy 2015, section 3, with the chain rule
    through mean and var simplified. The kernel is `kernels.reference.batch_norm_vjp`.)
    """
    return *kernels.batch_norm_vjp(g, x, weight, *statistics), None, None


@fused(
    _batch_norm_definition,
    _batch_norm_backward,
    returns_new=True,
    writes=("running_mean", "running_var"),
)
def _batch_norm(x, weight, bias, running_mean, running_var, *, momentum, eps):
    """`batch_norm` in training, x (N, C, S); updates running_mean and running_var in place."""
    y, mean, variance, rstd = kernels.batch_norm(x, weight, bias, eps)
    m = len(x) * x.shape[2]
    if running_mean is not None:
        running_mean += momentum * (mean - running_mean)
    if running_var is not None:  # the unbiased variance, divided by m - 1
        running_var += momentum * (variance * (m / (m - 1)) - running_var)
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
    *,
    synchronized: bool = True,
) -> Array:
    """y = (x - mean) / sqrt(var + eps) * weight + bias (Ioffe and Szegedy 2015), x (N, C, ...).

    mean, var, weight and bias are (C,); weight and bias may be None. mean and var are running_mean
    and running_var, or with training=True those of the m values of each channel of the batch.
    Training also updates the running statistics r in place, if they are not None:
    r = (1 - momentum) * r + momentum * s, s being mean and m / (m - 1) * var of the batch. The
    batch is that of all ranks, where several train in step, unless synchronized is False.
    """
    running = {"running_mean": running_mean, "running_var": running_var}
    _check_channels("batch_norm", x, **running, weight=weight, bias=bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: needs running_mean and running_var unless training=True")
        # A raw array has no version that the walk could check, and a later batch may write into it
        # before the backward pass: so it is copied.
        fixed = [r if isinstance(r, Traced) and r.node else raw(r).copy() for r in running.values()]
        m, v, w, b = (None if p is None else _broadcastable(p, x) for p in (*fixed, weight, bias))
        scale = reciprocal(sqrt(add(v, eps)))
        y = multiply(subtract(x, m), scale if w is None else multiply(scale, w))
        return y if b is None else add(y, b)
    N, C, S = *x.shape[:2], math.prod(x.shape[2:])
    rows = current().shared_rows if synchronized else None
    if N * S == 1 and rows is None:
        raise ValueError(
            f"batch_norm: training needs more than one value for each channel, got x {x.shape}"
        )
    for name, r in running.items():
        if isinstance(r, Traced) and r.requires_grad:
            raise GradError(f"batch_norm: training writes into {name}, so it cannot require grad")
        if r is not None and r.dtype.kind != "f":
            raise DTypeError(f"batch_norm: {name} must be of a float dtype, got {r.dtype}")
        if not getattr(getattr(raw(r), "flags", None), "writeable", True):  # before any is written
            raise ValueError(f"batch_norm: training writes into {name}, which is read-only")
    if (
        N * S == 0 and rows is None
    ):  # no statistics: the running ones stay as they are, gradients are 0
        x, weight, bias = _promoted_arrays(x, weight, bias)
        y = x if weight is None else multiply(x, _broadcastable(weight, x))
        return multiply(y, 1.0) if bias is None else add(y, _broadcastable(bias, x))
    x3, weight, bias = _promoted_arrays(reshape(x, (N, C, S)), weight, bias)
    arguments = x3, weight, bias, *map(raw, running.values())
    if rows is not None:
        y = batch_norm_of_ranks(*arguments, part=rows.weight, momentum=momentum, eps=eps)
    else:
        y = _batch_norm(*arguments, momentum=momentum, eps=eps)
    for r in running.values():
        if isinstance(r, Traced):
            count_write(r.node)  # the graph of an evaluation may have saved it
    return reshape(y, x.shape)
