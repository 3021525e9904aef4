"""Of probabilities: binary cross-entropy, Kullback-Leibler divergences, a Gaussian's sample."""

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
    # as PyTorch's: the slope at 0 and 1 is held finite, as the logarithms are
    lambda g, y, p, t: g * ((p - t) / maximum(p * (1 - p), 1e-12)),
    lambda g, y, p, t: g * (_bounded_log(1 - p) - _bounded_log(p)),
    saves=("p t", "p"),
    domain=(0.1, 0.9),
)
def _binary_cross_entropy(p, t):
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(p), -100), np.maximum(np.log(1 - p), -100)
    return -(t * yes + (1 - t) * no)


def _bounded_log(p):
    return clip(log(p), min=-100.0)


@composite
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p; logarithms are held above -100."""
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
    return kernels.bce_with_logits_vjp(g, x, t), None


@elementwise(
    lambda g, y, x, t: _bce_with_logits_vjp(g, x, t),
    lambda g, y, x, t: -g * x,
    saves=("x t", "x"),
    domain=REALS,
)
def _bce_with_logits(x, t):
    return kernels.bce_with_logits(x, t)


def _bce_total_backward(g, slope, wanted, x, t):
    return g * slope if wanted[0] else None, -g * x if wanted[1] else None


@fused(lambda x, t: sum(_bce_with_logits(x, t)), _bce_total_backward, prepare=floating)
def _bce_total(x, t):
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

    pos_weight w broadcasts to the input, by default 1; so does weight, a factor of the loss.
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
    """t * (log t - input) for log-probabilities `input`; target is t, or log t; 0 log 0 is 0."""
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
    g = g[..., None]
    half = 0.5 * g
    return g * mean, half * var - half  # not half * (var - 1): bit for bit as the definition's


@fused(_gaussian_kl_definition, _gaussian_kl_backward, prepare=floating)
def gaussian_kl(mean: Array, logvar: Array) -> Array:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats, summed over the last axis.

    half of exp(logvar) + mean^2 - 1 - logvar (Kingma and Welling 2014, appendix B).
    """
    check_shapes("gaussian_kl", mean, logvar)
    var = np.exp(logvar)
    return 0.5 * (var + mean * mean - (logvar + 1)).sum(-1), var


def _gaussian_sample_backward(g, std, wanted, mean, logvar, noise):
    g_std = g * std
    return g, 0.5 * (g_std * noise), g_std


@fused(
    lambda mean, logvar, noise: add(mean, multiply(exp(multiply(logvar, 0.5)), noise)),
    _gaussian_sample_backward,
    prepare=floating,
)
def gaussian_sample(mean: Array, logvar: Array, noise: Array) -> Array:
    """mean + exp(logvar / 2) * noise: of N(mean, exp(logvar)) for noise ~ N(0, 1).

    Gradients pass through it (Kingma and Welling 2014, section 2.4).
    """
    check_shapes("gaussian_sample", mean, logvar)
    check_shapes("gaussian_sample", mean, noise)
    std = np.exp(0.5 * logvar)
    return mean + std * noise, std
