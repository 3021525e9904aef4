"""Sums over all ranks, and batch norm by the statistics of the batch of all ranks.

Several processes in step share a batch (`distributed.Synchronous`). Rank r has the part w_r of its
rows (`Rows.weight`), its loss is the mean over them, and the loss of the whole is the sum over r of
w_r * loss_r. If G is the cotangent of a value for the loss of the whole, a rank's walk carries
g = G / w_r: then it need not know of the others, and the gradients of all are summed with the
weights w_r at the end. Only an op that mixes the ranks has to convert, as these two do.
"""

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import primitive, raw
from minigen.backend.arrays import Array, array_module
from minigen.communication.world import current
from minigen.ops.elementwise import add, divide, multiply, reciprocal, sqrt, square, subtract
from minigen.ops.reduce import sum
from minigen.ops.shape import reshape


def _inverse(part: float) -> float:
    """1 / part; 0 for a rank without rows, whose gradients have the weight 0."""
    return 1 / part if part else 0.0


@primitive(
    lambda g, y, x, part: multiply(sum_over_ranks(multiply(g, part), part=part), _inverse(part))
)
def sum_over_ranks(x: Array, *, part: float) -> Array:
    """The sum of x over all ranks, on each of them; part is this rank's part of the batch.

    G_x = sum over ranks of G_y, so g_x = (sum over ranks r of w_r * g_y of rank r) / part.
    """
    return current().all_reduce(x, "sum")


def total_of_ranks(total: Array) -> Array:
    """What to divide a rank's sum of losses by, if that of all is to be divided by the total.

    total () is this rank's part of it. Where ranks share a batch, the result is w * (the sum of the
    totals of all): then the ranks' losses, weighted by w, add up to the mean of the whole.
    """
    rows = current().shared_rows
    if rows is None:
        return total
    total = multiply(total, 1.0 if rows.weight else 0.0)
    # The loss of a rank without rows has the weight 0, and must only be finite.
    return multiply(sum_over_ranks(total, part=rows.weight), rows.weight or 1.0)


def number_of_values(n: int, part: float, x: Array) -> Array:
    """The sum of n over the ranks that have rows, an array () of float64 on the device of x."""
    return current().all_reduce(array_module(raw(x)).full((), n if part else 0, np.float64), "sum")


# ------------------------------------------------------------------------------ batch norm


def _batch_norm_definition(x, weight, bias, running_mean, running_var, part, momentum, eps):
    """`batch_norm_of_ranks`; the running statistics do not enter y."""
    rest = (x.shape[1], 1)
    # A rank without rows works on a row that is another's: it gets the statistics, but adds none.
    counted = multiply(x, 1.0 if part else 0.0)
    m = number_of_values(len(x) * x.shape[2], part, x).astype(x.dtype)
    mean = divide(sum_over_ranks(sum(counted, (0, 2)), part=part), m)
    centred = subtract(x, reshape(mean, rest))
    squares = multiply(sum(square(centred), (0, 2)), 1.0 if part else 0.0)
    variance = divide(sum_over_ranks(squares, part=part), m)
    y = multiply(centred, reshape(reciprocal(sqrt(add(variance, eps))), rest))
    y = y if weight is None else multiply(y, reshape(weight, rest))
    return y if bias is None else add(y, reshape(bias, rest))


def _batch_norm_backward(
    g, statistics, wanted, x, weight, bias, running_mean, running_var, part, momentum, eps
):
    """The VJP of y = hat * weight + bias, hat = (x - mean) * rstd, for g and x (N, C, S).

    As for batch norm on one process, with sums over the m values of all ranks where a cotangent
    goes through mean and var:
        gbias = sum(g),  gweight = sum(g * hat), over this rank's values        (C,)
        gx    = weight * rstd * (g - b - hat * a)                               (N, C, S)
    where b and a are the sums over ranks r of w_r * gbias and of w_r * gweight, divided by m * w
    with the part w of this rank. For one rank, w = 1, these are gbias / m and gweight / m.
    """
    mean, rstd, m = statistics
    hat = (x - mean[:, None]) * rstd[:, None]
    gweight, gbias = kernels.sum_over(g * hat, (0, 2)), kernels.sum_over(g, (0, 2))
    if not wanted[0]:
        return None, gweight, gbias, None, None
    xp = array_module(g)
    sums = current().all_reduce(xp.stack((gweight, gbias)).astype(np.float64) * part, "sum")
    a, b = (sums / m * _inverse(part)).astype(g.dtype)
    scale = rstd if weight is None else rstd * weight
    gx = (g - b[:, None] - hat * a[:, None]) * scale[:, None]
    return gx, gweight, gbias, None, None


@fused(
    _batch_norm_definition,
    _batch_norm_backward,
    returns_new=True,
    writes=("running_mean", "running_var"),
)
def batch_norm_of_ranks(x, weight, bias, running_mean, running_var, *, part, momentum, eps):
    """`batch_norm` in training by the statistics of the batch of all ranks; x (N, C, S) is of one.

    part: this rank's part of the batch. Updates running_mean and running_var in place. Raises
    ValueError on all ranks if a channel has one value on all of them together.
    """
    m, mean, variance = _statistics_of_ranks(x, part, eps)
    few = x.shape[0] * x.shape[2] <= 1 or not part  # then all ranks may have few
    if few and float(m) == 1:
        raise ValueError(
            f"batch_norm: training needs more than one value for each channel, got x {x.shape}, "
            "and nothing on the other ranks"
        )
    if not (few and float(m) == 0):
        for running, found in ((running_mean, mean), (running_var, variance * (m / (m - 1)))):
            if running is not None:
                running += (momentum * (found - running)).astype(running.dtype)
    rstd = 1 / array_module(x).sqrt(variance + eps)
    scale = rstd if weight is None else rstd * weight
    # The mean is rounded to the dtype of x first; what is missing goes into the shift.
    rounded = mean.astype(x.dtype)
    shift = (rounded - mean) * scale
    scale, shift = (p.astype(x.dtype) for p in (scale, shift if bias is None else shift + bias))
    y = (x - rounded[:, None]) * scale[:, None] + shift[:, None]
    return y, (rounded, rstd.astype(x.dtype), m)


def _statistics_of_ranks(x, part, eps):
    """m (), the values of a channel on all ranks, and their mean and variance (C,), in float64.

    Each rank computes its own, and those of all are added as deviations from the mean: no large
    squares cancel (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm").
        mean = sum over r of m_r mean_r / m
        var  = sum over r of m_r (var_r + (mean_r - mean)^2) / m
    Each rank fills its row of an array of zeros: so one sum over ranks brings all rows to all.
    """
    world, xp, (N, C, S) = current(), array_module(x), x.shape
    rows = xp.zeros((world.size, 1 + 2 * C), np.float64)
    if N * S and part:
        _, mean, variance, _ = kernels.batch_norm(x, None, None, eps)
        rows[world.rank] = xp.concatenate((xp.full((1,), N * S, np.float64), mean, variance))
    rows = world.all_reduce(rows, "sum")
    m_r, mean_r, variance_r = rows[:, :1], rows[:, 1 : C + 1], rows[:, C + 1 :]
    m = m_r.sum()
    parts = m_r / xp.maximum(m, 1)
    # Deviations from a rank's mean, so that a constant channel keeps its value exactly.
    pivot = mean_r[m_r[:, 0].argmax()]
    mean = pivot + (parts * (mean_r - pivot)).sum(0)
    variance = (parts * (variance_r + (mean_r - mean) ** 2)).sum(0)
    return m, mean, variance
