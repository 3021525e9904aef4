"""Activations, binary cross-entropy with logits, and their VJPs: all elementwise.

x, the target t, the cotangent g and the results have one shape (...), unless a docstring says
otherwise. The VJPs return the cotangent of x for the cotangent g of the result. They are written
with NumPy's functions alone, which work on CuPy arrays, too.
"""

import math

import numpy as np

from minigen.kernels.reference.functions import erf, select
from minigen.kernels.reference.sums import sum_over

FAR = 1000.0  # beyond -FAR and FAR gelu and silu are 0 and x, their slopes 0 and 1, in any dtype


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    e = np.exp(-np.abs(x))
    return select(x >= 0, 1.0, e) / (1 + e)


def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def tanh(x):
    """The hyperbolic tangent of x."""
    return np.tanh(x)


def gelu(x):
    """x Phi(x), Phi the distribution function of N(0, 1) (Hendrycks and Gimpel 2016)."""
    return np.maximum(x, -FAR) * _normal_cdf(x)


def gelu_vjp(g, x):
    """g (Phi(x) + x phi(x)), with phi = Phi' the density of N(0, 1)."""
    x = np.clip(x, -FAR, FAR)
    density = np.exp(-0.5 * np.square(x)) * (1 / math.sqrt(2 * math.pi))
    return g * (_normal_cdf(x) + x * density)


def _normal_cdf(x):
    """Phi(x) = (1 + erf(x / sqrt(2))) / 2."""
    return 0.5 * (1 + erf(x * math.sqrt(0.5)))


def silu(x):
    """x sigmoid(x) (Elfwing et al. 2018)."""
    return np.maximum(x, -FAR) * sigmoid(x)


def silu_vjp(g, x):
    """g s (1 + x (1 - s)), s = sigmoid(x)."""
    return g * (sigmoid(x) * (1 + np.clip(x, -FAR, FAR) * sigmoid(-x)))


def gelu_tanh(x):
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), close to gelu (same paper)."""
    x_or_far = np.maximum(x, -FAR)
    return 0.5 * x_or_far * (1 + _tanh_of_cubic(x_or_far))


def gelu_tanh_vjp(g, x):
    """g / 2 (1 + t + x (1 - t^2) du/dx), with t = tanh(u)."""
    x = np.clip(x, -FAR, FAR)
    t, slope = _tanh_of_cubic(x), math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * np.square(x))
    return g * (0.5 * (1 + t + x * (1 - np.square(t)) * slope))


def _tanh_of_cubic(x):
    """tanh(u) with u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    return np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * np.square(x)))


def bce_with_logits(x, t):
    """-(t log s + (1 - t) log(1 - s)) for s = sigmoid(x), exact for any x.

    It is log(1 + exp(-|x|)) + |x| w, where w is the share of the class that x denies: 1 - t for
    x >= 0, else t. Without that class even an infinite x costs nothing.
    """
    size, denied = np.abs(x), select(x >= 0, 1 - t, t)
    return np.where(denied == 0, 0, size) * denied + np.log1p(np.exp(-size))


def bce_with_logits_vjp(g, x, t):
    """g (sigmoid(x) - t), the cotangent of the logits x."""
    return g * (sigmoid(x) - t)


def bce_total(x, t):
    """The sum of bce_with_logits(x, t), a number of shape (), and its gradient sigmoid(x) - t."""
    return sum_over(bce_with_logits(x, t), None), sigmoid(x) - t
