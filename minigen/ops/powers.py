"""Powers, and all their derivatives at the corners: bases 0 and below, exponents 0, 1 and 2.

Composed of powers and logarithms, the second and third derivatives would be NaN or wrong there,
where a factor is 0 and another one infinite. So the rules name the derivative that they need, and
one forward has all of them.
"""

import math
from functools import cache

import numpy as np

from minigen.backend.arrays import Array
from minigen.backend.dtypes import PYTHON_SCALARS
from minigen.ops.elementwise import POSITIVE, elementwise
from minigen.ops.shape import zeros_like


@elementwise(
    lambda g, y, a, b: g * _power_derivative(a, b, n=1, m=0),
    lambda g, y, a, b: g * _power_derivative(a, b, n=0, m=1),
    saves="a b",
    domain=POSITIVE,
    dtype="any",
)
def power(a: Array, b: Array) -> Array:
    """a to the power b. The gradient for b is 0 where a = 0 and b >= 0, NaN where a < 0."""
    return np.power(a, b)


@elementwise(
    lambda g, y, a, b, n, m: g * _power_derivative(a, b, n=n + 1, m=m),
    lambda g, y, a, b, n, m: g * _power_derivative(a, b, n=n, m=m + 1),
    saves="a b",
    domain=POSITIVE,
    dtype="any",
)
def _power_derivative(a, b, *, n, m):
    """The derivative of a ** b, n times in a and m times in b (n + m > 0).

    n times in a it is p(b) a^(b - n), with p(b) = b (b - 1) ... (b - n + 1). By Leibniz's rule it
    is then, m times in b, a^(b - n) times the sum over j of binom(m, j) p^(j)(b) log(a)^(m - j).
    At a = 0 it is the limit; at a = b = 0, where f has none, 0 by convention.
    """
    factor = _polynomial(_falling(n, 0), b)
    if m == 0 and type(b) in PYTHON_SCALARS:
        return factor * np.power(a, b - n) if factor else np.zeros_like(a)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_a = np.log(a if type(a) not in PYTHON_SCALARS else np.full_like(b, a)) if m else 0.0
        for j in range(1, m + 1):
            factor = _times(log_a, factor) + math.comb(m, j) * _polynomial(_falling(n, j), b)
        y = _times(np.power(a, b - n), factor)
        if m:
            y = np.where((a < 0) & (b == b), math.nan, y)
    return np.where((a == 0) & (b == 0), 0, y)


def _times(x, y):
    """x * y, but 0 for 0 times infinity: here it is the factor 0 that is exact."""
    product = x * y
    return np.where(np.isnan(product) & (x == x) & (y == y), 0, product)


@cache
def _falling(n, j):
    """The coefficients, highest power first, of derivative j of b (b - 1) ... (b - n + 1)."""
    return tuple(np.poly1d(range(n), r=True).deriv(j).coeffs.tolist())


def _polynomial(coefficients, b):
    """The value at b, by Horner's rule."""
    y = coefficients[0]
    for c in coefficients[1:]:
        y = y * b + c
    return y


def signed_power(x, p: float):
    """sign(x) |x|^p."""
    return x if p == 1 else _power_of_size(x, p=p, signed=True)


@elementwise(
    lambda g, y, x, p, signed: (
        g * (p * _power_of_size(x, p=p - 1, signed=not signed)) if p else zeros_like(g)
    ),
    saves="x",
    domain=POSITIVE,
)
def _power_of_size(x, *, p, signed):
    """|x|^p, or signed sign(x) |x|^p: each is p times the derivative of the other, of p + 1.

    Both are 0 at 0 if p < 0, so that a zero does not make the norm of a vector undifferentiable.
    """
    with np.errstate(divide="ignore"):
        y = np.power(np.abs(x), p)
    y = y * np.sign(x) if signed else y
    return np.where(x == 0, 0, y) if p < 0 else y
