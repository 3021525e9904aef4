"""Elementwise arithmetic: two to four lines an op, the derivative rules and the forward.

`elementwise` is a `primitive` that broadcasts. What all of its ops share is written here once:
a rule may return the shape of the broadcast result, and the family sums it to the argument's.
"""

import math
from collections.abc import Callable
from functools import wraps

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import composite, fixed, primitive
from minigen.backend.arrays import Array
from minigen.backend.dtypes import PYTHON_SCALARS, checked, floating, promoted
from minigen.ops.shape import astype, unbroadcast, zeros_like

REALS, POSITIVE, ABOVE_MINUS_ONE = (-3.0, 3.0), (0.5, 3.0), (-0.9, 3.0)


def elementwise(*rules: Callable | None, saves="", domain: tuple[float, float], dtype="float"):
    """Declare a broadcasting op, with rules as for `primitive`.

    domain: the interval that tests draw from. dtype, what happens to the dtypes of the arguments
    first: "float" makes integers float32 (exp, divide), "any" promotes to one dtype (add, abs),
    "asis" only checks them (where).
    """

    def fitting(i, rule):
        """The rule for argument i, an array or its Spec, in the shape of that argument."""

        @wraps(rule)
        def summed(g, y, *args, **static):
            return unbroadcast(rule(g, y, *args, **static), args[i].shape)

        return summed

    fitted = [rule and fitting(i, rule) for i, rule in enumerate(rules)]
    prepare = {"float": floating, "any": promoted, "asis": checked}[dtype]
    return primitive(*fitted, saves=saves, prepare=prepare, domain=domain)


# ----------------------------------------------------------------------------- arithmetic


@elementwise(lambda g, y, a, b: g, lambda g, y, a, b: g, domain=REALS, dtype="any")
def add(a: Array, b: Array) -> Array:
    """a + b."""
    return np.add(a, b)


@elementwise(lambda g, y, a, b: g, lambda g, y, a, b: -g, domain=REALS, dtype="any")
def subtract(a: Array, b: Array) -> Array:
    """a - b."""
    return np.subtract(a, b)


@elementwise(
    lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, saves=("b", "a"), domain=REALS, dtype="any"
)
def multiply(a: Array, b: Array) -> Array:
    """a * b."""
    return np.multiply(a, b)


@elementwise(
    lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b, saves=("b", "y b"), domain=POSITIVE
)
def divide(a: Array, b: Array) -> Array:
    """a / b, a float also for integers."""
    return np.divide(a, b)


@elementwise(lambda g, y, x: -g, domain=REALS, dtype="any")
def negative(x: Array) -> Array:
    """-x."""
    return np.negative(x)


@elementwise(
    lambda g, y, a, b: g * (b * power(a, _lowered(b))),
    # where a is 0 and y finite the gradient is 0, not 0 times the log of 0
    lambda g, y, a, b: g * (y * astype(log(where((a == 0) & (b >= 0), 1.0, a)), g.dtype)),
    saves=("a b", "y a b"),
    domain=POSITIVE,
    dtype="any",
)
def power(a: Array, b: Array) -> Array:
    """a to the power b."""
    return np.power(a, b)


def _lowered(b):
    """b - 1; but 1 for 0, where b * a ** (b - 1) would be 0 times infinity at a = 0."""
    if type(b) in PYTHON_SCALARS:
        return b - 1 if b else 1
    return where(b == 0, 1.0, b - 1.0)


@elementwise(lambda g, y, x: g * (2 * x), saves="x", domain=REALS, dtype="any")
def square(x: Array) -> Array:
    """x * x."""
    return np.square(x)


@elementwise(lambda g, y, x: -g * (y * y), saves="y", domain=POSITIVE)
def reciprocal(x: Array) -> Array:
    """1 / x."""
    return np.reciprocal(x)


@elementwise(lambda g, y, x: g / (2 * y), saves="y", domain=POSITIVE)
def sqrt(x: Array) -> Array:
    """The square root of x."""
    return np.sqrt(x)


@elementwise(lambda g, y, x: g * sign(x), saves="x", domain=POSITIVE, dtype="any")
def abs(x: Array) -> Array:
    """|x|, with gradient 0 at 0."""
    return np.abs(x)


@elementwise(lambda g, y, x: zeros_like(g), domain=POSITIVE, dtype="any")
def sign(x: Array) -> Array:
    """-1, 0 or 1, with gradient 0."""
    return np.sign(x)


# ------------------------------------------------------------------ exponentials and angles


@elementwise(lambda g, y, x: g * y, saves="y", domain=REALS)
def exp(x: Array) -> Array:
    """e to the power x."""
    return np.exp(x)


@elementwise(lambda g, y, x: g * (y + 1), saves="y", domain=REALS)
def expm1(x: Array) -> Array:
    """exp(x) - 1, accurate for small x."""
    return np.expm1(x)


@elementwise(lambda g, y, x: g / x, saves="x", domain=POSITIVE)
def log(x: Array) -> Array:
    """The natural logarithm of x."""
    return np.log(x)


@elementwise(lambda g, y, x: g / (1 + x), saves="x", domain=ABOVE_MINUS_ONE)
def log1p(x: Array) -> Array:
    """log(1 + x), accurate for small x."""
    return np.log1p(x)


@elementwise(lambda g, y, x: g * cos(x), saves="x", domain=REALS)
def sin(x: Array) -> Array:
    """The sine of x in radians."""
    return np.sin(x)


@elementwise(lambda g, y, x: -g * sin(x), saves="x", domain=REALS)
def cos(x: Array) -> Array:
    """The cosine of x in radians."""
    return np.cos(x)


@elementwise(lambda g, y, x: g * (1 - y * y), saves="y", domain=REALS)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent of x."""
    return kernels.tanh(x)


@elementwise(
    lambda g, y, x: g * (2 / math.sqrt(math.pi) * exp(-square(x))), saves="x", domain=REALS
)
def erf(x: Array) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return kernels.erf(x)


# ------------------------------------------------------------------------------- choices


@elementwise(
    None,
    lambda g, y, condition, a, b: where(condition, g, 0.0),
    lambda g, y, condition, a, b: where(condition, 0.0, g),
    saves="condition",
    domain=REALS,
    dtype="asis",
)
def _where(condition, a, b):
    return kernels.select(condition, *promoted([a, b]))


@composite
def where(condition: Array, a: Array, b: Array) -> Array:
    """a where condition is true, else b. The branch not taken gets gradient 0."""
    return _where(fixed(condition), a, b)


def _winner(g, a, b):
    """The part of g that goes to a as the larger of a and b: all, half or nothing."""
    return where(a < b, 0.0, where(a == b, 0.5 * g, g))  # all of it to both if one is NaN


@elementwise(
    lambda g, y, a, b: _winner(g, a, b),
    lambda g, y, a, b: _winner(g, b, a),
    saves="a b",
    domain=REALS,
    dtype="any",
)
def maximum(a: Array, b: Array) -> Array:
    """The larger of a and b; NaN if either is; a tie gives each half of the gradient."""
    return np.maximum(a, b)


@elementwise(
    lambda g, y, a, b: _winner(g, b, a),
    lambda g, y, a, b: _winner(g, a, b),
    saves="a b",
    domain=REALS,
    dtype="any",
)
def minimum(a: Array, b: Array) -> Array:
    """The smaller of a and b; NaN if either is; a tie gives each half of the gradient."""
    return np.minimum(a, b)


@elementwise(
    lambda g, y, x, min, max: where(_outside(x, min, max), 0.0, g),
    saves="x",
    domain=REALS,
    dtype="any",
)
def clip(x: Array, *, min: float | None = None, max: float | None = None) -> Array:
    """x with its values held in [min, max]; the gradient is 1 at the bounds."""
    if x.dtype.kind != "f" and float in (type(min), type(max)):
        x = x.astype(np.float32)
    return np.clip(x, min, max)


def _outside(x, min, max):
    above = True if min is None else x >= min
    below = True if max is None else x <= max
    return (above & below) == False  # noqa: E712 - of arrays; so for NaN, which is outside
