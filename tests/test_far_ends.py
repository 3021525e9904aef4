"""Elementwise ops at infinity, far out, at +-0 and near it: the limits.

Values and both derivatives are the limits of the function there, also where a formula would
compute infinity minus infinity, or 0 times infinity.
"""

from math import inf, pi, sqrt

import numpy as np
import pytest

import minigen as mg
from minigen.autodiff.primitives import REGISTRY
from minigen.nn import functional as F
from minigen.testing import assert_close

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
SIZES = pytest.mark.parametrize("size", [1, 3000])  # kernels of the CPU run from about 2,000 on


def derivatives(f, x):
    """f(x), f'(x) and f''(x), elementwise; the first derivative by both walks."""
    x = mg.Tensor(x).requires_grad_()
    with np.errstate(all="ignore"):
        y = f(x)
        ones = np.ones_like(y.data)
        plain = mg.grad(y, x, ones, retain_graph=True).data
        traced = mg.grad(y, x, ones, create_graph=True)
        second = np.zeros_like(plain)
        if traced.requires_grad:
            (second,) = mg.grad(traced, [x], ones, allow_unused=True)
            second = np.zeros_like(plain) if second is None else second.data
    assert_close(plain, traced, 1e-5, "derivative by both walks")
    return y.data, plain, second


def check(f, at, want, dtype, size=1):
    """f and its derivatives at a point are the numbers `want`, or as near as dtype allows."""
    for name, got, number in zip(
        ("value", "slope", "curvature"), derivatives(f, np.full(size, at, dtype)), want
    ):
        number = np.full(size, number, np.float64).astype(dtype)
        assert got.dtype == dtype
        assert np.allclose(got, number, rtol=1e-5, atol=1e-30, equal_nan=True), (
            f"{name} at {at}: {got[0]}, expected {number[0]}"
        )


# For each op: value, first and second derivative at -inf and at inf. None: not in the domain, or
# without a limit.
NOTHING = (None, None)
LIMITS = {
    "negative": ((inf, -1, 0), (-inf, -1, 0)),
    "square": ((inf, -inf, 2), (inf, inf, 2)),
    "reciprocal": ((0, 0, 0), (0, 0, 0)),
    "sqrt": (None, (inf, 0, 0)),
    "abs": ((inf, -1, 0), (inf, 1, 0)),
    "sign": ((-1, 0, 0), (1, 0, 0)),
    "exp": ((0, 0, 0), (inf, inf, inf)),
    "expm1": ((-1, 0, 0), (inf, inf, inf)),
    "log": (None, (inf, 0, 0)),
    "log1p": (None, (inf, 0, 0)),
    "exp2": ((0, 0, 0), (inf, inf, inf)),
    "log2": (None, (inf, 0, 0)),
    "log10": (None, (inf, 0, 0)),
    "sinh": ((-inf, inf, -inf), (inf, inf, inf)),
    "cosh": ((inf, -inf, inf), (inf, inf, inf)),
    "arctan": ((-pi / 2, 0, 0), (pi / 2, 0, 0)),
    "tan": NOTHING,
    "arcsin": NOTHING,
    "arccos": NOTHING,
    "sin": NOTHING,
    "cos": NOTHING,
    "tanh": ((-1, 0, 0), (1, 0, 0)),
    "erf": ((-1, 0, 0), (1, 0, 0)),
    "clip": ((-inf, 1, 0), (inf, 1, 0)),
    "sigmoid": ((0, 0, 0), (1, 0, 0)),
    "log_sigmoid": ((-inf, 1, 0), (0, 0, 0)),
    "relu": ((0, 0, 0), (inf, 1, 0)),
    "leaky_relu": ((-inf, 0.01, 0), (inf, 1, 0)),
    "elu": ((-1, 0, 0), (inf, 1, 0)),
    "gelu": ((0, 0, 0), (inf, 1, 0)),
    "silu": ((0, 0, 0), (inf, 1, 0)),
    "softplus": ((0, 0, 0), (inf, 1, 0)),
}
UNARY = [
    name
    for name, op in REGISTRY.items()
    if op.domain and len(op.signature.arrays) == 1 and name in mg.ops.__all__
]
SETTINGS = {  # the same ops with other settings: at -inf and at inf
    "gelu by tanh": (lambda x: mg.gelu(x, "tanh"), LIMITS["gelu"]),
    "leaky_relu with slope 0": (lambda x: mg.leaky_relu(x, 0.0), LIMITS["relu"]),
    "elu with alpha 2": (lambda x: mg.elu(x, 2.0), ((-2, 0, 0), (inf, 1, 0))),
    "softplus with beta 3": (lambda x: mg.softplus(x, 3.0), LIMITS["softplus"]),
    "clip to [-1, 1]": (lambda x: mg.clip(x, -1, 1), ((-1, 0, 0), (1, 0, 0))),
    "maximum with 0": (lambda x: mg.maximum(x, 0.0), LIMITS["relu"]),
    "minimum with 0": (lambda x: mg.minimum(x, 0.0), ((-inf, 1, 0), (0, 0, 0))),
    "x / 2": (lambda x: x / 2, ((-inf, 0.5, 0), (inf, 0.5, 0))),
    "2 / x": (lambda x: 2 / x, ((0, 0, 0), (0, 0, 0))),
    "x ** 3": (lambda x: x**3, ((-inf, inf, -inf), (inf, inf, inf))),
    "x ** 0.5": (lambda x: x**0.5, (None, (inf, 0, 0))),
    "x ** -2": (lambda x: x**-2, ((0, 0, 0), (0, 0, 0))),
    "0.5 ** x": (lambda x: 0.5**x, ((inf, -inf, inf), (0, 0, 0))),
    "2 ** x": (lambda x: 2.0**x, ((0, 0, 0), (inf, inf, inf))),
    "where": (lambda x: mg.where(x > 0, 1.0, x), ((-inf, 1, 0), (1, 0, 0))),
}


def limits_of(name):
    return (getattr(mg, name), LIMITS[name]) if name in LIMITS else SETTINGS[name]


def test_the_table_of_limits_has_every_elementwise_op_of_one_argument():
    assert sorted({*UNARY, "gelu", "clip"}) == sorted(LIMITS)


@BOTH
@SIZES
@pytest.mark.parametrize("name", [*LIMITS, *SETTINGS])
def test_at_infinity_an_elementwise_op_and_its_derivatives_are_their_limits(name, dtype, size):
    f, (below, above) = limits_of(name)
    for at, want in ((-inf, below), (inf, above)):
        if want is not None:
            check(f, at, want, dtype, size)


BOUNDED = [name for name in [*LIMITS, *SETTINGS] if "exp" not in name and "**" not in name]


@BOTH
@SIZES
@pytest.mark.parametrize("name", [n for n in BOUNDED if n not in ("square", "sinh", "cosh")])
def test_far_out_a_derivative_is_near_its_limit(name, dtype, size):
    """At +-1e20 all slopes and curvatures are within 1e-9 of their limits."""
    f, (below, above) = limits_of(name)
    for at, want in ((-1e20, below), (1e20, above)):
        if want is not None:
            _, slope, curvature = derivatives(f, np.full(size, at, dtype))
            assert np.allclose(slope, want[1], rtol=1e-6, atol=1e-9)
            assert np.allclose(curvature, want[2], rtol=1e-6, atol=1e-9)


@BOTH
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize(
    "name", ["relu", "gelu", "gelu by tanh", "silu", "leaky_relu", "erf", "elu"]
)
def test_a_function_through_the_origin_keeps_the_sign_of_zero(name, zero, dtype):
    y, _, _ = derivatives(limits_of(name)[0], np.array([zero], dtype))
    assert y[0] == 0 and (name == "relu" or np.signbit(y[0]) == np.signbit(zero))


SMALL = {  # slope and curvature at 0; the value near 0 is the slope times x
    "tanh": (1, 0),
    "erf": (2 / sqrt(pi), 0),
    "gelu": (0.5, sqrt(2 / pi)),
    "gelu by tanh": (0.5, sqrt(2 / pi)),
    "silu": (0.5, 0.5),
    "elu": (1, None),
    "expm1": (1, 1),
    "log1p": (1, -1),
    "sin": (1, 0),
    "tan": (1, 0),
    "sinh": (1, 0),
    "arcsin": (1, 0),
    "arctan": (1, 0),
}


@BOTH
@SIZES
@pytest.mark.parametrize("x", [1e-20, -1e-20])
@pytest.mark.parametrize("name", SMALL)
def test_near_zero_nothing_is_lost(name, x, dtype, size):
    slope, curvature = SMALL[name]
    y, first, second = derivatives(
        (SETTINGS.get(name) or [getattr(mg, name, 0)])[0], np.full(size, x, dtype)
    )
    assert np.allclose(y / x, slope, rtol=1e-5) and np.allclose(first, slope, rtol=1e-5)
    assert curvature is None or np.allclose(second, curvature, rtol=1e-5, atol=1e-15)


COMPOSED = {
    "relu6": ((0, 0, 0), (6, 0, 0)),
    "hardtanh": ((-1, 0, 0), (1, 0, 0)),
    "hardsigmoid": ((0, 0, 0), (1, 0, 0)),
    "hardswish": ((0, 0, 0), (inf, 1, 0)),
    "mish": ((0, 0, 0), (inf, 1, 0)),
    "selu": ((-1.0507009873554805 * 1.6732632423543772, 0, 0), (inf, 1.0507009873554805, 0)),
    "softplus": ((0, 0, 0), (inf, 1, 0)),
    "softsign": ((-1, 0, 0), (1, 0, 0)),
}


@BOTH
@pytest.mark.parametrize("name", COMPOSED)
def test_activations_that_are_composed_of_ops_have_their_limits_too(name, dtype):
    for at, want in zip((-inf, inf), COMPOSED[name]):
        check(getattr(F, name), at, want, dtype)


def test_a_weight_of_prelu_gets_no_gradient_from_infinity_where_it_has_no_part():
    x, weight = mg.tensor([inf, -2.0, 0.0]), mg.tensor([0.25], requires_grad=True)
    y = F.prelu(x, weight)
    assert y.tolist() == [inf, -0.5, 0] and mg.grad(y.sum(), weight).tolist() == [-2]
