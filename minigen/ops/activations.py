"""Activations and dropout, elementwise; no finite input overflows."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import composite, raw
from minigen.backend.arrays import Array
from minigen.backend.devices import device_of
from minigen.errors import DTypeError
from minigen.ops.elementwise import (
    FAR,
    REALS,
    bounded,
    clip,
    elementwise,
    erf,
    exp,
    multiply,
    square,
    tanh,
    where,
)
from minigen.random import Generator, draw_of_batch

AWAY_FROM_KINK = (0.1, 3.0)  # a domain for the gradient checks of functions with a kink at 0


@elementwise(lambda g, y, x: g * (y * (1 - y)), saves="y", domain=REALS)
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return kernels.sigmoid(x)


@elementwise(lambda g, y, x: g * sigmoid(-x), saves="x", domain=REALS)
def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x)) = -log(1 + exp(-x))."""
    return -kernels.softplus(-x)


@elementwise(
    lambda h, _, g, y: _relu_vjp(h, y), None, saves=("y", ""), domain=AWAY_FROM_KINK, dtype="any"
)
def _relu_vjp(g, y):
    """g where y = relu(x) is positive, else 0: linear in g, with derivative 0 in y."""
    return kernels.relu_vjp(g, y)


@elementwise(lambda g, y, x: _relu_vjp(g, y), saves="y", domain=AWAY_FROM_KINK, dtype="any")
def relu(x: Array) -> Array:
    """max(x, 0), with gradient 0 at 0 (Nair and Hinton 2010)."""
    return kernels.relu(x)


@elementwise(
    lambda h, _, g, x, negative_slope: _leaky_relu_vjp(h, x, negative_slope=negative_slope),
    None,
    saves=("x", ""),
    domain=AWAY_FROM_KINK,
)
def _leaky_relu_vjp(g, x, *, negative_slope):
    """g where x is positive, else negative_slope * g: linear in g, with derivative 0 in x."""
    return kernels.leaky_relu_vjp(g, x, negative_slope)


@elementwise(
    lambda g, y, x, negative_slope: _leaky_relu_vjp(g, x, negative_slope=negative_slope),
    saves="x",
    domain=AWAY_FROM_KINK,
)
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """x where positive, else negative_slope * x."""
    return kernels.leaky_relu(x, negative_slope) if negative_slope else kernels.relu(x)


@elementwise(
    lambda g, y, x, alpha: g * where(x > 0, 1.0, alpha * exp(_nonpositive(x))),
    saves="x",
    domain=AWAY_FROM_KINK,
)
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """x where positive, else alpha * (exp(x) - 1) (Clevert et al. 2016)."""
    return kernels.select(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _nonpositive(x):
    """min(x, 0), so that exp of it does not overflow; at 0, where elu has a kink, a constant."""
    return where(x >= 0, 0.0, x)


@composite
def gelu(x: Array, approximate: str = "none") -> Array:
    """x Phi(x), Phi the distribution function of N(0, 1) (Hendrycks and Gimpel 2016).

    approximate="tanh" is their x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _gelu(x) if approximate == "none" else _gelu_tanh(x)


# The rules of gelu are fused ops: a kernel of one pass for raw arrays, and for higher derivatives
# the definition, a composition of ops that can be differentiated again.


def _gelu_vjp_definition(g, x):
    """g (Phi(x) + x phi(x)), phi = Phi' the density of N(0, 1)."""
    x = bounded(x)
    density = exp(-0.5 * square(x)) * (1 / math.sqrt(2 * math.pi))
    return g * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * density)


@fused(_gelu_vjp_definition)
def _gelu_vjp(g, x):
    return kernels.gelu_vjp(g, x), None


@elementwise(lambda g, y, x: _gelu_vjp(g, x), saves="x", domain=REALS)
def _gelu(x):
    return kernels.gelu(x)


def _gelu_tanh_vjp_definition(g, x):
    """g / 2 (1 + t + x (1 - t^2) du/dx), t = tanh(u), u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    x = bounded(x)
    t = tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * square(x)))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * square(x))
    return g * (0.5 * (1 + t + x * (1 - square(t)) * slope))


@fused(_gelu_tanh_vjp_definition)
def _gelu_tanh_vjp(g, x):
    return kernels.gelu_tanh_vjp(g, x), None


@elementwise(lambda g, y, x: _gelu_tanh_vjp(g, x), saves="x", domain=REALS)
def _gelu_tanh(x):
    return kernels.gelu_tanh(x)


def _silu_vjp_definition(g, x):
    """g s (1 + x (1 - s)), s = sigmoid(x)."""
    return g * (sigmoid(x) * (1 + clip(x, -FAR, FAR) * sigmoid(-x)))


@fused(_silu_vjp_definition)
def _silu_vjp(g, x):
    return kernels.silu_vjp(g, x), None


@elementwise(lambda g, y, x: _silu_vjp(g, x), saves="x", domain=REALS)
def silu(x: Array) -> Array:
    """x * sigmoid(x) (Elfwing et al. 2018)."""
    return kernels.silu(x)


@elementwise(
    lambda g, y, x, beta, threshold: g * where(beta * x > threshold, 1.0, sigmoid(beta * x)),
    saves="x",
    domain=REALS,
)
def softplus(x: Array, *, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    z = beta * x
    return kernels.select(z > threshold, x, kernels.softplus(z) / beta)


@composite
def dropout(
    x: Array,
    p: float = 0.5,
    training: bool = True,
    rng: Generator | None = None,
    batch_axis: int | None = 0,
) -> Array:
    """Each value of x set to 0 with probability p, else times 1 / (1 - p) (Srivastava et al. 2014).

    Returns x itself if training is False or p is 0. batch_axis, where several processes share a
    batch, is the axis of its rows: each process draws its rows of the mask of all. None: x has no
    such rows, and all processes draw the same mask.
    """
    p = float(p)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be in [0, 1], got {p}")
    if not training or p == 0:
        return x
    values = raw(x)
    if values.dtype.kind != "f":
        raise DTypeError(f"dropout: x must be float32 or float64, got {values.dtype}")
    rng, whole = draw_of_batch(rng, values.shape, batch_axis)
    keep_mask = rng.bernoulli(1 - p, whole, dtype=values.dtype, device=device_of(values))
    return multiply(x, keep_mask * (1 / (1 - p)) if p < 1 else keep_mask)
