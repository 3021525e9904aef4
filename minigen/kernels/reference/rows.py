"""Work on the rows of a matrix, or on the slices along an axis."""

import numpy as np

from minigen.backend.arrays import array_module, largest


def scatter_rows(out, index, updates):
    """out[index[i]] += updates[i] for i in order; out (R, D), index (N,) in [0, R), updates (N, D).

    Writes into out and returns it; duplicate indices add up.
    """
    array_module(out).add.at(out, index, updates)
    return out


def sum_rows(x):
    """The sum of the rows of x (N, D): (D,)."""
    return x.sum(0)


def softmax(x, axis):
    """exp(x) normalised to sum 1 over axis; NaN for a slice of nothing but -inf."""
    with np.errstate(invalid="ignore"):  # -inf less -inf is the NaN that is promised
        e = array_module(x).exp(x - largest(x, axis, -np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_vjp(g, y, axis):
    """y * (g - sum(g * y)) over axis."""
    gy = g * y
    return gy - y * gy.sum(axis=axis, keepdims=True)


def log_softmax(x, axis):
    """x - logsumexp(x) over axis."""
    xp = array_module(x)
    with np.errstate(invalid="ignore"):
        shifted = x - largest(x, axis, -np.inf)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


def log_softmax_vjp(g, y, axis):
    """g - exp(y) * sum(g) over axis."""
    return g - array_module(g).exp(y) * g.sum(axis=axis, keepdims=True)


def layer_norm(x, weight, bias, eps):
    """Rows of x (M, N) to mean 0 and variance 1, times weight (N,), plus bias (N,), either None.

    Returns y (M, N) and the mean and the reciprocal standard deviation, (M, 1) each.
    """
    n = max(x.shape[1], 1)
    mean = x.sum(axis=1, keepdims=True) / n
    centred = x - mean
    variance = (centred * centred).sum(axis=1, keepdims=True) / n
    rstd = 1 / array_module(x).sqrt(variance + eps)
    y = centred * rstd
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), mean, rstd


def layer_norm_vjp(g, x, weight, mean, rstd):
    """Cotangents of x (M, N), weight (N,) and bias (N,) for a cotangent g (M, N) of y.

    That of x loses its mean (level) and its part along the normalised row: in these two
    directions of x the result does not change.
    """
    hat = (x - mean) * rstd
    gw, gb = (g * hat).sum(axis=0), g.sum(axis=0)
    gh = g if weight is None else g * weight
    n = max(x.shape[1], 1)
    level, along = (part.sum(axis=1, keepdims=True) / n for part in (gh, gh * hat))
    return (gh - level - hat * along) * rstd, gw, gb


def cross_entropy(x, target, smoothing):
    """-sum of q * log_softmax(x) for each row of x (M, C), target (M,) int64 in [0, C).

    q is 1 - smoothing at the target and smoothing / C more everywhere; a negative target makes
    the loss of its row 0. Returns the losses (M,) and the log-sum-exp of each row (M, 1).
    """
    xp = array_module(x)
    top = x.max(axis=1, keepdims=True)
    lse = xp.log(xp.exp(x - top).sum(axis=1, keepdims=True)) + top
    loss = lse[:, 0] - (1 - smoothing) * x[xp.arange(len(x)), xp.maximum(target, 0)]
    if smoothing:
        loss = loss - smoothing * x.mean(axis=1)
    return xp.where(target < 0, 0, loss), lse


def cross_entropy_vjp(g, x, target, lse, smoothing):
    """Cotangent of x (M, C) for the cotangent g (M,) of the losses: g * (softmax(x) - q)."""
    xp = array_module(x)
    gx = xp.exp(x - lse)
    if smoothing:
        gx -= smoothing / x.shape[1]
    rows = xp.arange(len(x))
    gx[rows, xp.maximum(target, 0)] -= 1 - smoothing
    return xp.where((target < 0)[:, None], 0, gx * g[:, None])
