"""Losses of classes: cross-entropy and the negative log-likelihood, with class weights (C,).

Class targets are integers of any width, also a list. Where several processes share a batch, a mean
that leaves out targets or weighs classes is over the targets of all: so their number is summed over
the ranks, in each call. Losses of distributions divide by the number of rows, which needs no sum.
"""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import composite, raw
from minigen.backend.arrays import Array, array_module
from minigen.communication.world import current
from minigen.errors import DTypeError, ShapeError
from minigen.ops.elementwise import (
    add,
    divide,
    maximum,
    multiply,
    negative,
    scaled,
    subtract,
    where,
)
from minigen.ops.indexing import check_range, getitem, take_along_axis, whole_numbers
from minigen.ops.losses import check_shapes, in_floats, reduced
from minigen.ops.normalization import log_softmax
from minigen.ops.ranks import total_of_ranks
from minigen.ops.reduce import mean, sum
from minigen.ops.shape import astype, broadcast_to, moveaxis, reshape

INT64 = np.dtype(np.int64)


def _cross_entropy_definition(x, target, smoothing, averaged):
    log_p = log_softmax(x, 1)
    log_p_of_target = take_along_axis(log_p, maximum(target, 0)[:, None], 1)
    loss = negative(multiply(reshape(log_p_of_target, target.shape), 1 - smoothing))
    if smoothing:
        loss = subtract(loss, multiply(mean(log_p, 1), smoothing))
    loss = where(target < 0, 0.0, loss)  # a negative target is ignored, see `_rows_and_targets`
    return multiply(sum(loss), _mean_factor(_counted(target, x.dtype))) if averaged else loss


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
    factor = _mean_factor(_counted(target, x.dtype))
    return kernels.sum_over(loss, 0) * factor, (lse, factor)


def _counted(target, dtype):
    """The number of targets that are not ignored, an array ()."""
    return astype((target >= 0).sum(), dtype)


def _mean_factor(count):
    """1 / count for a number of targets, an array (); NaN for 0.

    It is computed with array operations, so that on a GPU the CPU does not wait for the number.
    """
    return where(count > 0, 1 / maximum(count, 1), math.nan)


@composite
def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    reduction: str = "mean",
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
) -> Array:
    """-log_softmax(logits) at the target class; classes are on axis 1 of logits, or 0 of a vector.

    target: integer classes, of the shape of logits without the class axis, or probabilities of
    the shape of logits. weight (C,) has a factor for each class. The mean over classes is weighted:
    sum(losses) / sum(weight[target]). It leaves out ignore_index, and is NaN if all are that. With
    ignore_index=None no target is left out, and several processes need not tell their numbers.
    """
    label_smoothing = float(label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    logits = in_floats(logits)
    weight = _class_weights("cross_entropy", weight, logits)
    if getattr(target, "dtype", INT64).kind == "f" and target.ndim == logits.ndim:
        return _cross_entropy_of_distributions(logits, target, weight, reduction, label_smoothing)
    rows, target = _rows_and_targets("cross_entropy", logits, target, ignore_index)
    flat = target.reshape(-1)
    if weight is not None:
        loss = _weighted_cross_entropy(rows, flat, weight, label_smoothing)
        return _weighted_mean(loss, flat, weight, target.shape, reduction)
    over_ranks = current().shared_rows is not None and ignore_index is not None
    averaged = reduction == "mean" and not over_ranks
    loss = _cross_entropy(rows, flat, smoothing=label_smoothing, averaged=averaged)
    return loss if averaged else _reduced(loss, flat, target.shape, reduction, over_ranks)


@composite
def nll_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    *,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Array:
    """-input at the target class, for log-probabilities; all else as in cross_entropy."""
    weight = _class_weights("nll_loss", weight, input)
    rows, target = _rows_and_targets("nll_loss", input, target, ignore_index)
    flat = target.reshape(-1)
    log_p_of_target = take_along_axis(rows, np.maximum(flat, 0)[:, None], 1)
    loss = where(flat < 0, 0.0, negative(reshape(log_p_of_target, flat.shape)))
    if weight is not None:
        loss = scaled(loss, _weight_of_target(weight, flat))
        return _weighted_mean(loss, flat, weight, target.shape, reduction)
    return _reduced(loss, flat, target.shape, reduction, ignore_index is not None)


def _reduced(loss, target, shape, reduction, over_ranks):
    """The reduction of losses (M,), the mean over the targets of all ranks that are not ignored."""
    if reduction != "mean":
        return reduced(reshape(loss, shape), reduction)
    count = _counted(target, loss.dtype)
    return multiply(sum(loss), _mean_factor(total_of_ranks(count) if over_ranks else count))


# ------------------------------------------------------------------------- class weights


def _class_weights(name, weight, x):
    """weight in the dtype of x; ShapeError unless it has a value for each class of x."""
    if weight is None:
        return None
    if isinstance(weight, list | tuple):
        weight = array_module(raw(x)).asarray(weight, x.dtype)
    if not hasattr(weight, "dtype"):
        raise DTypeError(
            f"{name}: weight is an array (C,) with a factor for each class, not {weight!r}; "
            "reduction, ignore_index and label_smoothing are passed by keyword"
        )
    classes = x.shape[:2][-1:]
    if weight.shape != classes:
        raise ShapeError(
            f"{name}: weight must have shape {classes}, a value for each class of "
            f"the input {x.shape}, got {weight.shape}"
        )
    return astype(weight, x.dtype) if x.dtype.kind == "f" else weight


def _weight_of_target(weight, target):
    """weight[target] (M,), 0 for a negative target, which is ignored."""
    return where(target < 0, 0.0, getitem(weight, np.maximum(target, 0)))


def _weighted_cross_entropy(x, target, weight, smoothing):
    """-sum over c of weight[c] q[m, c] log_softmax(x)[m, c] (M,), q the smoothed targets."""
    loss = _cross_entropy(x, target, smoothing=0.0)
    loss = scaled(loss, _weight_of_target(weight, target))
    if not smoothing:
        return loss
    of_all_classes = negative(sum(scaled(log_softmax(x, 1), weight), 1))
    of_all_classes = where(target < 0, 0.0, multiply(of_all_classes, smoothing / x.shape[1]))
    return add(multiply(loss, 1 - smoothing), of_all_classes)


def _weighted_mean(loss, target, weight, shape, reduction):
    """The reduction of the weighted losses (M,), whose mean is by the sum of their weights."""
    if reduction == "mean":
        total = total_of_ranks(sum(_weight_of_target(weight, target)))
        return divide(sum(loss), where(total == 0, math.nan, total))
    return reduced(reshape(loss, shape), reduction)


def _rows_and_targets(name, x, target, ignore_index):
    """x as (M, C), and target in its shape as int64 with -1 for ignore_index; both are checked.

    ignore_index None is that of no target.
    """
    if x.ndim == 0:
        raise ShapeError(f"{name}: the input needs a class axis, got shape ()")
    axis = 0 if x.ndim == 1 else 1
    expected = x.shape[:axis] + x.shape[axis + 1 :]
    target = whole_numbers(f"{name}: target", target, x)
    if target.shape != expected:
        raise ShapeError(
            f"{name}: input {x.shape} has its classes on axis {axis}, so the target "
            f"must have shape {expected}, got {target.shape}"
        )
    classes = x.shape[axis]
    check_range(f"{name}: target", target, 0, classes, skip=ignore_index)
    if ignore_index is not None:
        target = np.where(target == ignore_index, -1, target)
    if x.ndim == 2:
        return x, target
    return reshape(moveaxis(x, axis, -1), (target.size, classes)), target


def _cross_entropy_of_distributions(logits, target, weight, reduction, smoothing):
    """-sum over classes of w * q * log_softmax(logits), q the smoothed probabilities in target."""
    check_shapes("cross_entropy", logits, target)
    axis = 0 if logits.ndim == 1 else 1
    if smoothing:
        target = add(multiply(target, 1 - smoothing), smoothing / logits.shape[axis])
    if weight is not None:
        target = multiply(target, reshape(weight, (-1, *[1] * (logits.ndim - 1 - axis))))
    loss = negative(sum(scaled(log_softmax(logits, axis), target), axis))
    if reduction == "mean":
        return divide(sum(loss), math.prod(loss.shape) or math.nan)
    return reduced(loss, reduction)
