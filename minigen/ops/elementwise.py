"""Elementwise ops, which broadcast: the rules and the forward of each, in two to four lines.

`elementwise` is `primitive` with un-broadcasting: a rule may return a cotangent of the shape of the
result, and `elementwise` sums it to the shape of the argument.
"""

import math
from collections.abc import Callable
from functools import wraps

import numpy as np

from minigen import kernels
from minigen.autodiff.graph import Traced
from minigen.autodiff.primitives import composite, fixed, primitive
from minigen.backend.arrays import Array
from minigen.backend.dtypes import NOT_ARRAYS, checked, floating, promoted
from minigen.ops.shape import unbroadcast, zeros_like

REALS, POSITIVE, ABOVE_MINUS_ONE = (-3.0, 3.0), (0.5, 3.0), (-0.9, 3.0)
# Beyond -FAR and FAR the derivatives of erf, gelu and silu round to their limits and are constant.
# The rules bound x, since they would otherwise be products of 0 and infinity there, which are NaN.
FAR = 1000.0


def elementwise(*rules: Callable | None, saves="", domain: tuple[float, float], dtype="float"):
    """Declare an op that broadcasts, with rules and saves as for `primitive`.

    domain: the interval from which tests draw. dtype: how arguments are converted before forward:
    "float" converts integers to float32 (exp, divide), "any" promotes all to one dtype (add, abs),
    "asis" only checks the dtypes (where).
    """

    def with_sum(i, rule):
        """rule for argument i, with its result summed to the shape of that argument."""

        @wraps(rule)
        def summed(g, y, *args, **static):
            return unbroadcast(rule(g, y, *args, **static), args[i].shape)

        return summed

    summing = [rule and with_sum(i, rule) for i, rule in enumerate(rules)]
    prepare = {"float": floating, "any": promoted, "asis": checked}[dtype]
    return primitive(*summing, saves=saves, prepare=prepare, domain=domain)


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
    """a / b; integers are converted to float32."""
    return np.divide(a, b)


@elementwise(
    lambda g, y, a, b: zeros_like(g),
    lambda g, y, a, b: zeros_like(g),
    domain=POSITIVE,
    dtype="any",
)
def floor_divide(a: Array, b: Array) -> Array:
    """a // b: the largest integer <= a / b. The gradient is 0."""
    return np.floor_divide(a, b)


@elementwise(
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g * floor_divide(a, b),
    saves=("", "a b"),
    domain=POSITIVE,
    dtype="any",
)
def remainder(a: Array, b: Array) -> Array:
    """a % b = a - b * (a // b), which has the sign of b."""
    return np.remainder(a, b)


@elementwise(
    lambda g, y, x, weight: scaled(g, weight),
    lambda g, y, x, weight: g * x,
    saves=("weight", "x"),
    domain=REALS,
)
def scaled(x: Array, weight: Array) -> Array:
    """x * weight, but 0 where weight is 0 and x infinite: what has no weight costs nothing."""
    return np.multiply(np.where((weight == 0) & np.isinf(x), 0, x), weight)


@elementwise(lambda g, y, x: -g, domain=REALS, dtype="any")
def negative(x: Array) -> Array:
    """-x."""
    return np.negative(x)


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
    """|x|. The gradient is 0 at 0."""
    return np.abs(x)


@elementwise(lambda g, y, x: zeros_like(g), domain=POSITIVE, dtype="any")
def sign(x: Array) -> Array:
    """The sign of x: -1, 0 or 1. The gradient is 0."""
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
    lambda g, y, x: g * (2 / math.sqrt(math.pi) * exp(-square(bounded(x)))),
    saves="x",
    domain=REALS,
)
def erf(x: Array) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return kernels.erf(x)


# ----------------------------------------------------------------------------- selection


@elementwise(
    None,
    lambda g, y, condition, a, b: where(condition, g, 0.0),
    lambda g, y, condition, a, b: where(condition, 0.0, g),
    saves="condition",
    domain=REALS,
    dtype="asis",
)
def _where(condition, a, b):
    y = kernels.select(condition, *promoted([a, b]))
    if type(a) in NOT_ARRAYS and type(b) in NOT_ARRAYS and y.dtype == np.float64:
        return y.astype(np.float32)  # the dtype of Python's floats
    return y


@composite
def where(condition: Array, a: Array, b: Array) -> Array:
    """a where condition is true, else b. The gradient of the value not taken is 0."""
    if isinstance(condition, Traced):
        condition = type(condition)(fixed(condition))
    return _where(condition, a, b)


def _if_larger(g, a, b):
    """g where a > b, g / 2 where they are equal, 0 where a < b; g where one is NaN."""
    return where(a < b, 0.0, where(a == b, 0.5 * g, g))


@elementwise(
    lambda g, y, a, b: _if_larger(g, a, b),
    lambda g, y, a, b: _if_larger(g, b, a),
    saves="a b",
    domain=REALS,
    dtype="any",
)
def maximum(a: Array, b: Array) -> Array:
    """The larger of a and b; NaN if one is NaN. Where they are equal, each gets half of g."""
    return np.maximum(a, b)


@elementwise(
    lambda g, y, a, b: _if_larger(g, b, a),
    lambda g, y, a, b: _if_larger(g, a, b),
    saves="a b",
    domain=REALS,
    dtype="any",
)
def minimum(a: Array, b: Array) -> Array:
    """The smaller of a and b; NaN if one is NaN. Where they are equal, each gets half of g."""
    return np.minimum(a, b)


@elementwise(
    lambda g, y, x, min, max: where(_outside(x, min, max), 0.0, g),
    saves="x",
    domain=REALS,
    dtype="any",
)
def _clip(x, *, min, max):
    if x.dtype.kind != "f" and float in (type(min), type(max)):
        x = x.astype(np.float32)
    return np.clip(x, min, max)


@composite
def clip(x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """x clipped to [min, max], numbers or arrays that broadcast, None for no bound.

    The gradient of x is 1 at the bounds; beyond a bound, the bound gets the gradient.
    """
    if type(min) in NOT_ARRAYS and type(max) in NOT_ARRAYS:
        return _clip(x, min=min, max=max)
    if min is not None:
        x = where(x < min, min, x)
    return x if max is None else where(x > max, max, x)


def bounded(x):
    """x within [-FAR, FAR], constant beyond; unlike clip it is no constant at NaN."""
    return where(x < -FAR, -FAR, where(x > FAR, FAR, x))


def _outside(x, min, max):
    """Whether each value of x is not in [min, max]; true for NaN."""
    above = True if min is None else x >= min
    below = True if max is None else x <= max
    return (above & below) == False  # noqa: E712 - an elementwise comparison
