"""Softmax and log-softmax along an axis; layer norm, cross-entropy and scatter on rows."""

import numpy as np

from minigen.backend.arrays import array_module, largest
from minigen.kernels.reference.sums import add_at, deviations, sum_over


def scatter_rows(out, index, updates):
    """out[index[i]] += updates[i] for i in order; out (R, D), index (N,) in [0, R), updates (N, D).

    Writes to out and returns it; duplicate indices add up, floats in double precision.
    """
    add_at(out, index, updates)
    return out


# In the formulas of softmax and log-softmax, sums are along `axis`. x (...), the result y and the
# cotangents g of y and gx of x have one shape.


def softmax(x, axis):
    """exp(x) / sum(exp(x)) along axis; NaN for a slice of nothing but -inf.

    The maximum is subtracted from x first, so that no exp overflows.
    """
    with np.errstate(invalid="ignore"):  # -inf - (-inf) is NaN, as documented
        e = array_module(x).exp(x - largest(x, axis, -np.inf))
    return e / sum_over(e, axis, keepdims=True)


def softmax_vjp(g, y, axis):
    """gx = y * (g - sum(g * y)), for y = softmax(x).

    The Jacobian of one slice is diag(y) - y y^T, which is symmetric (Bridle 1990, "Probabilistic
    interpretation of feedforward classification network outputs").
    """
    gy = g * y
    return gy - y * sum_over(gy, axis, keepdims=True)


def log_softmax(x, axis):
    """x - log(sum(exp(x))) along axis, with the maximum subtracted from x first."""
    xp = array_module(x)
    with np.errstate(invalid="ignore"):
        shifted = x - largest(x, axis, -np.inf)
    return shifted - xp.log(sum_over(xp.exp(shifted), axis, keepdims=True))


def log_softmax_vjp(g, y, axis):
    """gx = g - exp(y) * sum(g), for y = log_softmax(x).

    With s = exp(y) = softmax(x) the Jacobian of a slice is I - 1 s^T, and gx its transpose times g.
    """
    return g - array_module(g).exp(y) * sum_over(g, axis, keepdims=True)


def layer_norm(x, weight, bias, eps):
    """hat * weight + bias with hat = (x - mean) * rstd, for each row of x (M, N) (Ba et al. 2016).

    weight and bias are (N,) or None; rstd = 1 / sqrt(variance + eps). Returns y (M, N), mean (M, 1)
    and rstd (M, 1).
    """
    centred, mean = deviations(x, (1,))
    variance = sum_over(centred * centred, 1, keepdims=True) / max(x.shape[1], 1)
    rstd = 1 / array_module(x).sqrt(variance + eps)
    y = centred * rstd
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), mean, rstd


def layer_norm_vjp(g, x, weight, mean, rstd):
    """Cotangents of x (M, N), weight (N,) and bias (N,) for the cotangent g (M, N) of y.

    With hat = (x - mean) * rstd (M, N), gh = g * weight (M, N), the cotangent of hat, and row means
    (M, 1):

        gx = (gh - rowmean(gh) - hat * rowmean(gh * hat)) * rstd      (M, N)
        gweight = sum over rows of g * hat                            (N,)
        gbias = sum over rows of g                                    (N,)

    The two means are the derivatives through mean and rstd. They make gx orthogonal to a row of
    ones and to hat: y does not change when a constant is added to a row of x, nor, apart from eps,
    when x - mean is scaled. (Ioffe and Szegedy 2015, section 3: the same for batch norm.)
    """
    hat = (x - mean) * rstd
    gw, gb = sum_over(g * hat, 0), sum_over(g, 0)
    gh = g if weight is None else g * weight
    n = max(x.shape[1], 1)
    mean_gh, mean_gh_hat = (sum_over(part, 1, keepdims=True) / n for part in (gh, gh * hat))
    return (gh - mean_gh - hat * mean_gh_hat) * rstd, gw, gb


def cross_entropy(x, target, smoothing):
    """loss[m] = -sum over c of q[m, c] * log_softmax(x)[m, c], for logits x (M, C).

    target (M,) is int64 in [0, C); q[m, c] = (1 - smoothing) * (c == target[m]) + smoothing / C
    (Szegedy et al. 2016, section 7). A negative target gives the loss 0. Returns the losses (M,)
    and lse (M, 1), the logarithm of the sum of exp of each row.
    """
    xp = array_module(x)
    top = x.max(axis=1, keepdims=True)
    lse = xp.log(sum_over(xp.exp(x - top), 1, keepdims=True)) + top
    loss = lse[:, 0] - (1 - smoothing) * x[xp.arange(len(x)), xp.maximum(target, 0)]
    if smoothing:
        loss = loss - smoothing * (sum_over(x, 1) / x.shape[1])
    return xp.where(target < 0, 0, loss), lse


def cross_entropy_vjp(g, x, target, lse, smoothing):
    """gx = g[:, None] * (softmax(x) - q) (M, C), for the cotangent g (M,) of the losses.

    softmax(x) = exp(x - lse), and q as in `cross_entropy` (Szegedy et al. 2016, section 7). Rows of
    a negative target are 0.
    """
    xp = array_module(x)
    gx = xp.exp(x - lse)
    if smoothing:
        gx -= smoothing / x.shape[1]
    rows = xp.arange(len(x))
    gx[rows, xp.maximum(target, 0)] -= 1 - smoothing
    return xp.where((target < 0)[:, None], 0, gx * g[:, None])
