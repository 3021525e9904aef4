"""Losses with the names and arguments of PyTorch's; reduction is "mean", "sum" or "none".

The shapes of input and target must be equal: losses do not broadcast. Left out: class weights of
cross_entropy and nll_loss, and kl_div's reduction "batchmean".
"""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import composite, fixed
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.ops.elementwise import (
    REALS,
    abs,
    add,
    clip,
    divide,
    elementwise,
    multiply,
    negative,
    subtract,
    where,
)
from minigen.ops.indexing import check_range, take_along_axis
from minigen.ops.normalization import log_softmax
from minigen.ops.reduce import mean, sum
from minigen.ops.shape import astype, broadcast_to, moveaxis, reshape


def reduced(loss: Array, reduction: str) -> Array:
    """The mean or the sum of the losses, or for "none" the losses themselves."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def check_shapes(name: str, x: Array, target: Array) -> None:
    """Raise ShapeError unless x and target have the same shape."""
    if x.shape != target.shape:
        raise ShapeError(
            f"{name}: the input has shape {x.shape} and the target {target.shape}; "
            "a loss does not broadcast: reshape one of them"
        )


# ----------------------------------------------------------------------------- regression


@elementwise(
    lambda g, y, a, b: g * (2 * (a - b)),
    lambda g, y, a, b: g * (2 * (b - a)),
    saves="a b",
    domain=REALS,
)
def _mse_loss(a, b):
    """(a - b)^2, elementwise."""
    return np.square(a - b)


@composite
def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """(input - target)^2."""
    check_shapes("mse_loss", input, target)
    return reduced(_mse_loss(input, target), reduction)


@composite
def l1_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """|input - target|."""
    check_shapes("l1_loss", input, target)
    return reduced(abs(subtract(input, target)), reduction)


@composite
def smooth_l1_loss(
    input: Array, target: Array, reduction: str = "mean", beta: float = 1.0
) -> Array:
    """With d = |input - target|: d^2 / (2 beta) below beta, d - beta / 2 above (Girshick 2015)."""
    beta, (input, target) = float(beta), map(_floating, (input, target))
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    check_shapes("smooth_l1_loss", input, target)
    return reduced(multiply(_huber(subtract(input, target), beta), 1 / beta), reduction)


@composite
def huber_loss(input: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """d^2 / 2 for d = |input - target| below delta, delta * (d - delta / 2) above (Huber 1964)."""
    delta, (input, target) = float(delta), map(_floating, (input, target))
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    check_shapes("huber_loss", input, target)
    return reduced(_huber(subtract(input, target), delta), reduction)


def _huber(d, delta):
    """d^2 / 2 for |d| <= delta, else delta * (|d| - delta / 2)."""
    slope = clip(d, -delta, delta)  # the derivative at d
    return multiply(slope, subtract(d, multiply(slope, 0.5)))


# ------------------------------------------------------------------------- classification


def _cross_entropy_definition(x, target, smoothing, averaged):
    log_p = log_softmax(x, 1)
    log_p_of_target = take_along_axis(log_p, np.maximum(target, 0)[:, None], 1)
    loss = negative(multiply(reshape(log_p_of_target, target.shape), 1 - smoothing))
    if smoothing:
        loss = subtract(loss, multiply(mean(log_p, 1), smoothing))
    loss = where(target < 0, 0.0, loss)  # a negative target is ignored, see `_rows_and_targets`
    return multiply(sum(loss), _mean_factor(target, x.dtype)) if averaged else loss


def _cross_entropy_backward(g, residuals, wanted, x, target, smoothing, averaged):
    """gx = g[:, None] * (softmax(x) - q) (M, C), softmax(x) = exp(x - lse).

    q is the smoothed distribution of the targets: see `kernels.reference.cross_entropy`. g is the
    cotangent (M,) of the losses; for their mean, it is the cotangent () of the mean times the
    factor of the mean, for each loss.
    """
    lse, factor = residuals
    if averaged:
        g = broadcast_to(g * factor, target.shape)
    return kernels.cross_entropy_vjp(g, x, target, lse, smoothing), None


@fused(_cross_entropy_definition, _cross_entropy_backward)
def _cross_entropy(x, target, *, smoothing, averaged=False):
    """The losses (M,), or averaged their mean (), for logits x (M, C) and classes target (M,)."""
    loss, lse = kernels.cross_entropy(x, target, smoothing)
    if not averaged:
        return loss, (lse, None)
    factor = _mean_factor(target, x.dtype)
    return loss.sum() * factor, (lse, factor)


def _mean_factor(target, dtype):
    """1 / (the number of targets that are not ignored), an array (); NaN if there are none.

    It is computed with array operations, so that on a GPU the CPU does not wait for the number.
    """
    count = (target >= 0).sum()
    return np.where(count > 0, 1 / np.maximum(count, 1), math.nan).astype(dtype)


@composite
def cross_entropy(
    logits: Array,
    target: Array,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    """-log_softmax(logits) at the target class; classes are on axis 1 of logits, or 0 of a vector.

    target: integer classes, of the shape of logits without the class axis, or probabilities of
    the shape of logits. The mean is over the targets that are not ignore_index; it is NaN if all
    are.
    """
    label_smoothing = float(label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    target, logits = fixed(target) if _is_classes(target) else target, _floating(logits)
    if not _is_classes(target):
        return _cross_entropy_of_distributions(logits, target, reduction, label_smoothing)
    rows, target = _rows_and_targets("cross_entropy", logits, target, ignore_index)
    flat, averaged = target.reshape(-1), reduction == "mean"
    loss = _cross_entropy(rows, flat, smoothing=label_smoothing, averaged=averaged)
    return loss if averaged else reduced(reshape(loss, target.shape), reduction)


@composite
def nll_loss(
    input: Array, target: Array, reduction: str = "mean", ignore_index: int = -100
) -> Array:
    """-input at the target class, for log-probabilities; axes and targets as in cross_entropy."""
    rows, target = _rows_and_targets("nll_loss", input, fixed(target), ignore_index)
    flat = target.reshape(-1)
    log_p_of_target = take_along_axis(rows, np.maximum(flat, 0)[:, None], 1)
    loss = where(flat < 0, 0.0, negative(reshape(log_p_of_target, flat.shape)))
    if reduction == "mean":
        return multiply(sum(loss), _mean_factor(target, loss.dtype))
    return reduced(reshape(loss, target.shape), reduction)


def _is_classes(target):
    """Whether target has classes, not probabilities."""
    return target.dtype.kind != "f"


def _floating(x):
    """x, as float32 unless it has a floating dtype."""
    return x if x.dtype.kind == "f" else astype(x, np.float32)


def _rows_and_targets(name, x, target, ignore_index):
    """x as (M, C), and target in its shape as int64 with -1 for ignore_index; both are checked."""
    if x.ndim == 0:
        raise ShapeError(f"{name}: the input needs a class axis, got shape ()")
    axis = 0 if x.ndim == 1 else 1
    expected = x.shape[:axis] + x.shape[axis + 1 :]
    if target.shape != expected:
        raise ShapeError(
            f"{name}: input {x.shape} has its classes on axis {axis}, so the target "
            f"must have shape {expected}, got {target.shape}"
        )
    classes = x.shape[axis]
    if target.dtype.kind == "u":  # cannot be -1, nor a negative ignore_index
        target = target.astype(np.int64)
    check_range(f"{name}: target", target, 0, classes, skip=ignore_index)
    target = np.where(target == ignore_index, -1, target).astype(np.int64)
    if x.ndim == 2:
        return x, target
    return reshape(moveaxis(x, axis, -1), (target.size, classes)), target


def _cross_entropy_of_distributions(logits, target, reduction, smoothing):
    """-sum over classes of q * log_softmax(logits), q the smoothed probabilities in target."""
    check_shapes("cross_entropy", logits, target)
    axis = 0 if logits.ndim == 1 else 1
    if smoothing:
        target = add(multiply(target, 1 - smoothing), smoothing / logits.shape[axis])
    loss = negative(sum(multiply(target, log_softmax(logits, axis)), axis))
    if reduction == "mean":
        return divide(sum(loss), math.prod(loss.shape) or math.nan)
    return reduced(loss, reduction)
