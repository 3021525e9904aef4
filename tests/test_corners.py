"""Corners of powers, norms and standard deviations: derivatives of second and third order.

Where a derivative exists it is right, and the same in whichever order it is taken; where the limit
is infinite it is that; where there is none it is 0 or NaN, never another number.
"""

from itertools import product
from math import comb, inf, isnan

import numpy as np
import pytest

import minigen as mg
from minigen.testing import assert_close


def leaf(x, dtype=np.float64):
    return mg.Tensor(np.array(x, dtype)).requires_grad_()


def derivative(order, a, b, dtype=np.float64):
    """The derivative of a ** b in the variables of order, such as "aab", by repeated gradients."""
    a, b = leaf(a, dtype), leaf(b, dtype)
    with np.errstate(all="ignore"):
        y = a**b
        for name in order:
            y = mg.grad(y, a if name == "a" else b, create_graph=True)
    assert y.dtype == dtype
    return y.item()


def falling(b, n, j):
    """Derivative j of b (b - 1) ... (b - n + 1)."""
    return np.poly1d(range(n), r=True).deriv(j)(b)


def true_derivative(n, m, a, b):
    """By Leibniz's rule; at a = 0 by its leading term, which has no 0 times infinity."""
    terms = [(comb(m, j) * falling(b, n, j), m - j) for j in range(m + 1)]
    if a > 0:
        return sum(c * a ** (b - n) * np.log(a) ** k for c, k in terms)
    leading = [(c, k) for c, k in terms if c]
    if b == 0 or not leading or b > n:
        return 0.0
    (c, k), *_ = leading
    limit = 1.0 if b == n and k == 0 else inf * (-1) ** k
    return float(np.sign(c)) * limit if np.isinf(limit) else c * limit


BASES, EXPONENTS = (0.0, 0.25, 1.0, 2.0, 3.5), (-2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_all_derivatives_of_power_at_its_corners_are_right_in_any_order(degree, dtype):
    for a, b in product(BASES, EXPONENTS):
        for order in product("ab", repeat=degree):
            got, m = derivative(order, a, b, dtype), order.count("b")
            want = true_derivative(degree - m, m, a, b)
            assert_close(
                np.array(got, dtype), np.array(want, dtype), 1e-12 if dtype == np.float64 else 1e-5,
                f"{''.join(order)} at {a} ** {b}",
            )  # fmt: skip


def test_the_mixed_derivative_of_a_power_at_exponent_0_is_one_over_a():
    a, b = leaf(2.0), leaf(0.0)
    assert mg.grad(mg.grad(a**b, a, create_graph=True), b).item() == 0.5
    assert mg.grad(mg.grad(a**b, b, create_graph=True), a).item() == 0.5


def test_a_negative_base_has_derivatives_for_itself_at_integer_exponents_alone():
    for b in (-1.0, 0.0, 1.0, 2.0, 3.0):
        for n in (1, 2, 3):
            want = falling(b, n, 0) * (-2.0) ** (b - n)
            assert_close(np.array(derivative("a" * n, -2.0, b)), np.array(want))
        assert isnan(derivative("b", -2.0, b)) and isnan(derivative("ab", -2.0, b))
        assert isnan(derivative("bba", -2.0, b))
    assert isnan(derivative("a", -2.0, 0.5)) and isnan(derivative("aa", -2.0, 1.5))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.0, 1.0, 2.0, 2.5, -1, True])
def test_a_number_as_exponent_is_as_a_tensor_and_keeps_the_dtype(exponent, dtype):
    x = leaf([-2.0, 0.0, 0.5, 3.0], dtype)
    as_tensor = mg.Tensor(np.array(exponent, dtype))
    with np.errstate(all="ignore"):
        for power in (exponent, as_tensor, np.full(4, exponent, dtype)):
            y, found = x**power, []
            for _ in range(3):
                y = mg.grad(y, x, np.ones(4, dtype), create_graph=True)
                found.append(y.data)
                assert y.dtype == dtype
            for n, got in enumerate(found, 1):
                factor = falling(float(exponent), n, 0)
                want = factor * x.data ** (float(exponent) - n) if factor else 0 * x.data
                assert_close(got, np.asarray(want, dtype), 1e-5)


@pytest.mark.parametrize("base", [0, 0.0, 1, 2.0, 0.5])
def test_a_number_as_base_is_as_a_tensor(base):
    x = leaf([0.0, 1.0, 2.0, 3.0], np.float32)
    for power in (base, mg.Tensor(np.float32(base))):
        y = power**x
        for m in (1, 2, 3):
            y = mg.grad(y, x, np.ones(4, np.float32), create_graph=True)
            assert y.dtype == np.float32
            want = [true_derivative(0, m, float(base), b) for b in x.data.tolist()]
            assert_close(y, np.array(want, np.float32), 1e-5)


def test_corners_in_broadcast_powers_leave_their_neighbours_alone():
    a, b = leaf([[0.0], [2.0]]), leaf([0.0, 1.0, 2.0])
    ga, gb = mg.grad(a**b, [a, b], np.ones((2, 3)), create_graph=True)
    assert_close(ga, np.array([[1.0], [5.0]]))
    assert_close(gb, np.log(2) * np.array([1.0, 2.0, 4.0]))
    mixed = mg.grad(ga, b, np.array([[0.0], [1.0]]), retain_graph=True).data
    want = np.array([true_derivative(1, 1, 2.0, k) for k in (0.0, 1.0, 2.0)])
    assert_close(mixed[[0, 2]], want[[0, 2]])  # at (0, 1) the derivative is infinite
    assert_close(mg.grad(gb, a, np.array([1.0, 0.0, 1.0])).data[1], want[[0]] + want[2])


# ------------------------------------------------------------ norms and standard deviations

ORDERS = (0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, inf)
VECTORS = ([0.0, 3.0, 4.0], [3.0, 0.0, -4.0], [0.0, -0.0, 4.0], [-0.0, 0.0, 0.0])


def norm_of_the_rest(x, order):
    """The gradient and Hessian of the norm, of the entries that are not 0; else 0."""
    keep = np.flatnonzero(x)
    gradient, hessian = np.zeros(len(x)), np.zeros((len(x), len(x)))
    if len(keep) and order == inf:
        gradient[np.argmax(np.abs(x))] = np.sign(x[np.argmax(np.abs(x))])
    elif len(keep):
        z, signs = np.abs(x[keep]), np.sign(x[keep])
        y = (z**order).sum() ** (1 / order)
        s = (z / y) ** (order - 1)
        gradient[keep] = s * signs
        inner = np.diag((z / y) ** (order - 2)) - np.outer(s, s)
        hessian[np.ix_(keep, keep)] = (order - 1) / y * inner * np.outer(signs, signs)
        if order == 2:  # smooth also where an entry is 0
            hessian[x == 0, x == 0] = 1 / y
    return gradient, hessian


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ORDERS)
def test_a_zero_in_a_vector_leaves_the_derivatives_of_its_norm_right(order, dtype):
    for values in VECTORS:
        x = leaf(values, dtype)
        gradient, hessian = norm_of_the_rest(np.array(values), order)
        first = mg.grad(mg.norm(x, order), x, create_graph=True)
        assert_close(first, gradient.astype(dtype), 1e-5)
        for i, row in enumerate(hessian):
            found = mg.grad(first, x, np.eye(3, dtype=dtype)[i], retain_graph=True)
            assert_close(found, row.astype(dtype), 1e-5, f"row {i} of the Hessian at {values}")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axis", [0, -1, (0, 1), None])
def test_zeros_leave_norms_over_any_axis_right(order, axis):
    x = leaf([[0.0, 3.0, 4.0], [0.0, 0.0, 0.0], [0.0, -5.0, 0.0]])
    y = mg.norm(x, order, axis)
    found = mg.grad(y, x, np.ones(y.shape), create_graph=True)
    if axis in (None, (0, 1)):
        want = norm_of_the_rest(x.data.ravel(), order)[0].reshape(3, 3)
    else:
        want = np.apply_along_axis(lambda row: norm_of_the_rest(row, order)[0], axis, x.data)
    assert_close(found, want)
    assert np.isfinite(mg.grad(found, x, x.data).data).all()


@pytest.mark.parametrize("f", [mg.norm, mg.std, lambda x: mg.std(x, ddof=1), mg.abs])
@pytest.mark.parametrize("value", [0.0, -0.0])
def test_where_no_derivative_exists_none_is_invented_at_any_order(f, value):
    x = leaf(np.full((2, 3), value))
    y = f(x)
    for seed in (1, 2, 3):
        cotangent = np.random.default_rng(seed).standard_normal(y.shape)
        y = mg.grad(y, x, cotangent, create_graph=True)
        assert not y.data.any(), seed
        if not y.requires_grad:  # a constant
            break


def test_the_derivative_of_sqrt_at_0_is_infinite_at_any_order():
    x, signs = leaf([0.0, 4.0]), [1, -1, 1]
    y = mg.sqrt(x)
    with np.errstate(all="ignore"):
        for n, sign in enumerate(signs, 1):
            y = mg.grad(y, x, np.ones(2), create_graph=True)
            assert_close(y, np.array([sign * inf, falling(0.5, n, 0) * 4.0 ** (0.5 - n)]))


def hessian(f, x):
    """All second derivatives of f(x), a row for each entry of the gradient, and the gradient."""
    x = leaf(x)
    with np.errstate(all="ignore"):
        first = mg.grad(f(x), x, create_graph=True)
        rows = [mg.grad(first, x, row, retain_graph=True).data for row in np.eye(x.size)]
    return np.array(rows), first.data


def test_prod_has_all_its_derivatives_at_zeros():
    rows, first = hessian(mg.prod, [0.0, 2.0, 3.0])
    assert first.tolist() == [6, 0, 0]
    assert rows.tolist() == [[0, 3, 2], [3, 0, 0], [2, 0, 0]]
    rows, first = hessian(mg.prod, [0.0, 2.0, 0.0])
    assert first.tolist() == [0, 0, 0] and rows.tolist() == [[0, 0, 2], [0, 0, 0], [2, 0, 0]]


@pytest.mark.parametrize("f", [mg.logsumexp, lambda x: mg.log_softmax(x)[1] * -1 + x[1]])
def test_an_entry_of_minus_infinity_leaves_the_derivatives_of_logsumexp_right(f):
    p = np.array([0.0, np.exp(1.0), np.exp(2.0)]) / (np.exp(1.0) + np.exp(2.0))
    rows, first = hessian(f, [-inf, 1.0, 2.0])
    assert_close(first, p)
    assert_close(rows, np.diag(p) - np.outer(p, p))


@pytest.mark.parametrize("f", [mg.maximum, mg.minimum, lambda a, b: mg.where(a > b, a, b)])
def test_at_ties_second_derivatives_are_0(f):
    a, b = leaf([1.0, 2.0, -0.0]), leaf([1.0, 3.0, 0.0])
    first = mg.grad(f(a, b) * f(a, b), [a, b], np.ones(3), create_graph=True)
    for g in first:
        assert np.isfinite(mg.grad(g, a, np.ones(3), retain_graph=True).data).all()
    assert not isnan(first[0].data.sum())
