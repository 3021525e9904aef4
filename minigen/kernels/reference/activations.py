"""Activations and the loss that goes with the sigmoid, elementwise, and their derivatives."""

import math

import numpy as np

from minigen.kernels.reference.functions import erf, select

# As CuPy's arrays take NumPy's functions, these need no module of their own.


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    e = np.exp(-np.abs(x))
    return select(x >= 0, 1.0, e) / (1 + e)


def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def tanh(x):
    """The hyperbolic tangent of x."""
    return np.tanh(x)


def gelu(x):
    """x times the normal distribution function of x."""
    return x * _normal_share(x)


def gelu_vjp(g, x):
    """g times the slope of gelu at x."""
    density = np.exp(-0.5 * np.square(x)) * (1 / math.sqrt(2 * math.pi))
    return g * (_normal_share(x) + x * density)


def _normal_share(x):
    return 0.5 * (1 + erf(x * math.sqrt(0.5)))


def gelu_tanh(x):
    """x times an approximation of the normal distribution function of x, by a tanh."""
    return 0.5 * x * (1 + _inner_tanh(x))


def gelu_tanh_vjp(g, x):
    """g times the slope of gelu_tanh at x."""
    t, slope = _inner_tanh(x), math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * np.square(x))
    return g * (0.5 * (1 + t + x * (1 - np.square(t)) * slope))


def _inner_tanh(x):
    return np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * np.square(x)))


def bce_with_logits(x, t):
    """-(t log s + (1 - t) log(1 - s)) for s = sigmoid(x), exact for any finite x."""
    return softplus(x) - x * t


def bce_with_logits_vjp(g, x, t):
    """g times the slope of bce_with_logits in x."""
    return g * (sigmoid(x) - t)


def bce_total(x, t):
    """The sum of bce_with_logits(x, t), and its slope in x."""
    return bce_with_logits(x, t).sum(), sigmoid(x) - t
