"""Further elementwise functions: powers and logarithms of other bases, angles, hyperbolic ones."""

import math

import numpy as np

from minigen.autodiff.graph import Traced
from minigen.backend.arrays import Array
from minigen.ops.elementwise import REALS, elementwise, maximum, reciprocal, square, where

POSITIVE, WITHIN_1 = (0.5, 3.0), (-0.9, 0.9)


@elementwise(lambda g, y, x: g * (y * math.log(2)), saves="y", domain=REALS)
def exp2(x: Array) -> Array:
    """2 to the power x."""
    return np.exp2(x)


@elementwise(lambda g, y, x: g / (x * math.log(2)), saves="x", domain=POSITIVE)
def log2(x: Array) -> Array:
    """The logarithm of x to the base 2."""
    return np.log2(x)


@elementwise(lambda g, y, x: g / (x * math.log(10)), saves="x", domain=POSITIVE)
def log10(x: Array) -> Array:
    """The logarithm of x to the base 10."""
    return np.log10(x)


@elementwise(lambda g, y, x: g * (1 + y * y), saves="y", domain=(-1.2, 1.2))
def tan(x: Array) -> Array:
    """The tangent of x in radians."""
    return np.tan(x)


@elementwise(lambda g, y, x: g / (1 - x * x) ** 0.5, saves="x", domain=WITHIN_1)
def arcsin(x: Array) -> Array:
    """The angle in [-pi / 2, pi / 2] whose sine is x."""
    return np.arcsin(x)


@elementwise(lambda g, y, x: -g / (1 - x * x) ** 0.5, saves="x", domain=WITHIN_1)
def arccos(x: Array) -> Array:
    """The angle in [0, pi] whose cosine is x."""
    return np.arccos(x)


def _arctan_slope(x):
    """1 / (1 + x^2), beyond 1 as r^2 / (1 + r^2) with r = 1 / x, which is right at infinity."""
    far = abs(x) > 1
    r = square(reciprocal(where(far, x, 1.0)))
    return where(far, r / (1 + r), 1 / (1 + square(where(far, 0.0, x))))


@elementwise(lambda g, y, x: g * _arctan_slope(x), saves="x", domain=REALS)
def arctan(x: Array) -> Array:
    """The angle in (-pi / 2, pi / 2) whose tangent is x."""
    return np.arctan(x)


def _inverse_of(u, a, b):
    """u / (a^2 + b^2) for u = a or b, without overflow.

    The constant 0 at infinity, and at the origin, where arctan2 has no derivative.
    """
    scale = maximum(abs(a), abs(b))
    if isinstance(scale, Traced):  # as a constant, since the quotient does not depend on it
        scale = type(scale)(scale.data)
    flat = (scale == 0) | (scale == math.inf)
    scale = where(flat, 1.0, scale)
    u, a, b = (where(flat, 0.0, x / scale) for x in (u, a, b))
    return u / where(flat, 1.0, square(a) + square(b)) / scale


@elementwise(
    lambda g, y, a, b: g * _inverse_of(b, a, b),
    lambda g, y, a, b: -g * _inverse_of(a, a, b),
    saves="a b",
    domain=POSITIVE,
)
def arctan2(a: Array, b: Array) -> Array:
    """The angle in [-pi, pi] of the point with ordinate a and abscissa b."""
    return np.arctan2(a, b)


@elementwise(lambda g, y, x: g * cosh(x), saves="x", domain=REALS)
def sinh(x: Array) -> Array:
    """The hyperbolic sine of x."""
    return np.sinh(x)


@elementwise(lambda g, y, x: g * sinh(x), saves="x", domain=REALS)
def cosh(x: Array) -> Array:
    """The hyperbolic cosine of x."""
    return np.cosh(x)
