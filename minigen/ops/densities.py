"""Losses of distributions: binary cross-entropy, KL divergences, and a sample of a Gaussian."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import composite, raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import FLOAT64, floating
from minigen.errors import ShapeError
from minigen.ops.activations import log_sigmoid, sigmoid
from minigen.ops.elementwise import (
    POSITIVE,
    REALS,
    add,
    clip,
    divide,
    elementwise,
    exp,
    expm1,
    log,
    maximum,
    multiply,
    negative,
    scaled,
    square,
    subtract,
    where,
)
from minigen.ops.losses import check_shapes, reduced
from minigen.ops.reduce import sum


@elementwise(
    # The derivative in p is (p - t) / (p (1 - p)). As in PyTorch, its denominator is at least 1e-12
    # and logarithms are at least -100, so that all is finite at p = 0 and p = 1.
    lambda g, y, p, t: g * ((p - t) / maximum(p * (1 - p), 1e-12)),
    lambda g, y, p, t: g * (_bounded_log(1 - p) - _bounded_log(p)),
    saves=("p t", "p"),
    domain=(0.1, 0.9),
)
def _binary_cross_entropy(p, t):
    """-(t log p + (1 - t) log(1 - p)), elementwise, with logarithms of at least -100."""
    with np.errstate(divide="ignore"):
        log_p, log_q = np.maximum(np.log(p), -100), np.maximum(np.log(1 - p), -100)
    return -(t * log_p + (1 - t) * log_q)


def _bounded_log(p):
    """max(log(p), -100); at 0 a constant, since the derivative of log would be infinite there."""
    return where(p == 0, -100.0, clip(log(where(p == 0, 1.0, p)), min=-100.0))


@composite
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p and target t; logarithms >= -100."""
    check_shapes("binary_cross_entropy", input, target)
    for name, x in (("input", raw(input)), ("target", raw(target))):
        if not array_module(x).all((x >= 0) & (x <= 1)):
            raise ValueError(
                f"binary_cross_entropy: the {name} must lie in [0, 1]; "
                "for logits as input take binary_cross_entropy_with_logits"
            )
    loss = _binary_cross_entropy(input, target)
    return reduced(loss if weight is None else scaled(loss, weight), reduction)


@fused(lambda g, x, t: g * (sigmoid(x) - t))
def _bce_with_logits_vjp(g, x, t):
    """The cotangent of the logits x for the cotangent g of the losses; all of one shape."""
    return kernels.bce_with_logits_vjp(g, x, t), None


@elementwise(
    lambda g, y, x, t: _bce_with_logits_vjp(g, x, t),
    lambda g, y, x, t: -g * x,
    saves=("x t", "x"),
    domain=REALS,
)
def _bce_with_logits(x, t):
    """softplus(x) - x t, elementwise."""
    return kernels.bce_with_logits(x, t)


def _bce_total_backward(g, slope, wanted, x, t):
    """gx = g (sigmoid(x) - t) and gt = -g x, of the shape of x, for the cotangent g () of the sum.

    slope = sigmoid(x) - t is the residual.
    """
    return g * slope if wanted[0] else None, -g * x if wanted[1] else None


@fused(lambda x, t: sum(_bce_with_logits(x, t)), _bce_total_backward, prepare=floating)
def _bce_total(x, t):
    """The sum of bce_with_logits(x, t), and the residual sigmoid(x) - t."""
    return kernels.bce_total(x, t)


@composite
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    """-(w t log s + (1 - t) log(1 - s)) for s = sigmoid(input), exact for any finite input.

    t is the target, and w is pos_weight, 1 by default; weight is a factor of the losses. Both
    weights broadcast to the input.
    """
    check_shapes("binary_cross_entropy_with_logits", input, target)
    for factor in (weight, pos_weight):
        if factor is not None and np.broadcast_shapes(np.shape(factor), input.shape) != input.shape:
            raise ShapeError(f"a weight {np.shape(factor)} does not broadcast to {input.shape}")
    if weight is None and pos_weight is None and reduction in ("sum", "mean"):
        total = _bce_total(input, target)
        return total if reduction == "sum" else divide(total, input.size or math.nan)
    if pos_weight is None:
        loss = _bce_with_logits(input, target)
    else:
        of_ones = scaled(log_sigmoid(input), multiply(target, pos_weight))
        of_zeros = scaled(log_sigmoid(negative(input)), subtract(1.0, target))
        loss = negative(add(of_ones, of_zeros))
    return reduced(loss if weight is None else scaled(loss, weight), reduction)


# ---------------------------------------------------------------------- KL divergences


@elementwise(lambda g, y, t: g * (log(t) + 1), saves="t", domain=POSITIVE)
def _t_log_t(t):
    """t log t, 0 at 0."""
    return t * np.log(np.where(t == 0, 1, t))


@composite
def kl_div(input: Array, target: Array, log_target: bool = False, reduction: str = "mean") -> Array:
    """t * (log t - input), for log-probabilities `input`; 0 log 0 is 0.

    target is t, or with log_target log t. reduction may also be "batchmean": the sum divided by the
    length of axis 0, which is the divergence of the distributions in rows.
    """
    check_shapes("kl_div", input, target)
    if log_target:
        log_t = clip(target, min=-1000.0)  # exp(-1000) is 0: below, 0 times infinity would be NaN
        loss = scaled(subtract(log_t, input), exp(target))
    else:
        loss = subtract(_t_log_t(target), scaled(input, target))
    if reduction != "batchmean":
        return reduced(loss, reduction)
    if not loss.ndim:
        raise ShapeError("kl_div: batchmean needs an axis 0, got shape ()")
    return divide(sum(loss), loss.shape[0] or math.nan)


NEAR_0 = 0.25  # where exp(x) - 1 - x has lost three bits or more by cancellation


def _above_tangent(x, expm1_x):
    """exp(x) - 1 - x, which is never negative, from x and exp(x) - 1.

    Near 0 the plain way would leave no more than rounding errors; its series there is
    x^2 (1/2! + x/3! + x^2/4! + ...).
    """
    near, series = np.minimum(np.maximum(x, -NEAR_0), NEAR_0), 0.0
    for k in range(12 if x.dtype == FLOAT64 else 7, 1, -1):
        series = series * near + 1 / math.factorial(k)
    far = expm1_x - np.minimum(x, 1000)  # exp(1000) is infinite; infinity - infinity would be NaN
    return np.where(np.abs(x) < NEAR_0, near * near * series, far)


@elementwise(lambda g, y, x: g * expm1(x), saves="x", domain=REALS)
def _exp_above_tangent(x):
    """exp(x) - 1 - x."""
    return _above_tangent(x, np.expm1(x))


def _gaussian_kl_definition(mean, logvar):
    return multiply(sum(add(_exp_above_tangent(logvar), square(mean)), -1), 0.5)


def _gaussian_kl_backward(g, expm1_logvar, wanted, mean, logvar):
    """gmean = g mean, glogvar = g (exp(logvar) - 1) / 2, both (..., D), for the cotangent g (...).

    exp(logvar) - 1 is the residual.
    """
    g = g[..., None]
    return g * mean, 0.5 * g * expm1_logvar


@fused(_gaussian_kl_definition, _gaussian_kl_backward, prepare=floating)
def gaussian_kl(mean: Array, logvar: Array) -> Array:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats, summed over the last axis: never negative.

    (exp(logvar) + mean^2 - 1 - logvar) / 2 for each element (Kingma and Welling 2014, appendix B).
    """
    check_shapes("gaussian_kl", mean, logvar)
    expm1_logvar = np.expm1(logvar)
    terms = _above_tangent(logvar, expm1_logvar) + mean * mean
    return 0.5 * kernels.sum_over(terms, -1), expm1_logvar


def _gaussian_sample_backward(g, std, wanted, mean, logvar, noise):
    """gmean = g, glogvar = g std noise / 2, gnoise = g std; all of the shape of mean.

    std = exp(logvar / 2) is the residual.
    """
    g_std = g * std
    return g, 0.5 * (g_std * noise), g_std


@fused(
    lambda mean, logvar, noise: add(mean, multiply(exp(multiply(logvar, 0.5)), noise)),
    _gaussian_sample_backward,
    prepare=floating,
)
def gaussian_sample(mean: Array, logvar: Array, noise: Array) -> Array:
    """mean + exp(logvar / 2) * noise: a sample of N(mean, exp(logvar)) for noise ~ N(0, 1).

    The reparameterization trick: mean and logvar get gradients (Kingma and Welling 2014, section
    2.4).
    """
    check_shapes("gaussian_sample", mean, logvar)
    check_shapes("gaussian_sample", mean, noise)
    std = np.exp(0.5 * logvar)
    return mean + std * noise, std
