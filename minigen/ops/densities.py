"""Losses of distributions: binary cross-entropy, KL divergences, and a sample of a Gaussian."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import composite, raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import floating
from minigen.errors import ShapeError
from minigen.ops.activations import log_sigmoid, sigmoid
from minigen.ops.elementwise import (
    REALS,
    add,
    clip,
    divide,
    elementwise,
    exp,
    log,
    maximum,
    multiply,
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
    """max(log(p), -100)."""
    return clip(log(p), min=-100.0)


@composite
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p and target t; logarithms >= -100."""
    check_shapes("binary_cross_entropy", input, target)
    if not array_module(raw(input)).all((raw(input) >= 0) & (raw(input) <= 1)):
        raise ValueError(
            "binary_cross_entropy: the input must lie in [0, 1]; "
            "for logits take binary_cross_entropy_with_logits"
        )
    loss = _binary_cross_entropy(input, target)
    return reduced(loss if weight is None else multiply(loss, weight), reduction)


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
        factor = add(multiply(target, subtract(pos_weight, 1.0)), 1.0)
        loss = subtract(multiply(1 - target, input), multiply(factor, log_sigmoid(input)))
    return reduced(loss if weight is None else multiply(loss, weight), reduction)


@composite
def kl_div(input: Array, target: Array, log_target: bool = False, reduction: str = "mean") -> Array:
    """t * (log t - input), for log-probabilities `input`; 0 log 0 is 0.

    target is t, or with log_target log t.
    """
    check_shapes("kl_div", input, target)
    if log_target:
        return reduced(multiply(exp(target), subtract(target, input)), reduction)
    positive = raw(target) > 0
    log_t = log(where(positive, target, 1.0))
    entropy = where(positive, multiply(target, log_t), 0.0)
    return reduced(subtract(entropy, multiply(target, input)), reduction)


def _gaussian_kl_definition(mean, logvar):
    terms = subtract(add(exp(logvar), square(mean)), add(logvar, 1.0))
    return multiply(sum(terms, -1), 0.5)


def _gaussian_kl_backward(g, var, wanted, mean, logvar):
    """gmean = g mean, glogvar = g (var - 1) / 2, both (..., D), for the cotangent g (...).

    var = exp(logvar) is the residual.
    """
    g = g[..., None]
    half = 0.5 * g
    # half * (var - 1) would be rounded in another way than the derivative of the definition.
    return g * mean, half * var - half


@fused(_gaussian_kl_definition, _gaussian_kl_backward, prepare=floating)
def gaussian_kl(mean: Array, logvar: Array) -> Array:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats, summed over the last axis.

    (exp(logvar) + mean^2 - 1 - logvar) / 2 for each element (Kingma and Welling 2014, appendix B).
    """
    check_shapes("gaussian_kl", mean, logvar)
    var = np.exp(logvar)
    return 0.5 * (var + mean * mean - (logvar + 1)).sum(-1), var


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
