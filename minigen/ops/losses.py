"""Losses of regression, with the names and arguments of PyTorch's.

reduction is "mean", "sum" or "none". The shapes of input and target must be equal: losses do not
broadcast.
"""

import numpy as np

from minigen.autodiff.primitives import composite
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.ops.elementwise import REALS, abs, elementwise, multiply, subtract, where
from minigen.ops.reduce import mean, sum
from minigen.ops.shape import astype


def reduced(loss: Array, reduction: str) -> Array:
    """The mean or the sum of the losses, or for "none" the losses themselves."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def check_shapes(name: str, x: Array, target: Array) -> None:
    """Raise ShapeError unless x and target have the same shape."""
    if x.shape != target.shape:
        raise ShapeError(
            f"{name}: the input has shape {x.shape} and the target {target.shape}; "
            "a loss does not broadcast: reshape one of them"
        )


# ----------------------------------------------------------------------------- regression


@elementwise(
    lambda g, y, a, b: g * (2 * (a - b)),
    lambda g, y, a, b: g * (2 * (b - a)),
    saves="a b",
    domain=REALS,
)
def _mse_loss(a, b):
    """(a - b)^2, elementwise."""
    return np.square(a - b)


@composite
def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """(input - target)^2."""
    check_shapes("mse_loss", input, target)
    return reduced(_mse_loss(input, target), reduction)


@composite
def l1_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """|input - target|."""
    check_shapes("l1_loss", input, target)
    return reduced(abs(subtract(input, target)), reduction)


@composite
def smooth_l1_loss(
    input: Array, target: Array, reduction: str = "mean", beta: float = 1.0
) -> Array:
    """With d = |input - target|: d^2 / (2 beta) below beta, d - beta / 2 above (Girshick 2015)."""
    beta, (input, target) = float(beta), map(in_floats, (input, target))
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    check_shapes("smooth_l1_loss", input, target)
    return reduced(multiply(_huber(subtract(input, target), beta), 1 / beta), reduction)


@composite
def huber_loss(input: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """d^2 / 2 for d = |input - target| below delta, delta * (d - delta / 2) above (Huber 1964)."""
    delta, (input, target) = float(delta), map(in_floats, (input, target))
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    check_shapes("huber_loss", input, target)
    return reduced(_huber(subtract(input, target), delta), reduction)


@elementwise(lambda g, y, d, delta: where(abs(d) < delta, g, 0.0), saves="d", domain=REALS)
def _bounded(d, *, delta):
    """d in [-delta, delta]: the derivative of `_huber`; its own is 0 at the bounds."""
    return np.clip(d, -delta, delta)


@elementwise(lambda g, y, d, delta: g * _bounded(d, delta), saves="d", domain=REALS)
def _huber(d, *, delta):
    """d^2 / 2 for |d| <= delta, else delta * (|d| - delta / 2)."""
    slope = np.clip(d, -delta, delta)
    return slope * (d - 0.5 * slope)


def in_floats(x):
    """x, as float32 unless it has a floating dtype."""
    return x if x.dtype.kind == "f" else astype(x, np.float32)
