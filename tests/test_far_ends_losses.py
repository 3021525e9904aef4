"""Losses and densities with infinite, extreme and tiny arguments: the limits.

As in test_far_ends.py, for values and both derivatives.
"""

from math import inf

import numpy as np
import pytest
from test_far_ends import BOTH, SIZES, check, derivatives

import minigen as mg


def bce(target, **options):
    def loss(x):
        t = np.full(x.shape, target, x.dtype)
        return mg.binary_cross_entropy_with_logits(x, t, reduction="none", **options)

    return loss


# For each target: value, slope and curvature at -inf and at inf.
BCE = {
    0.0: ((0, 0, 0), (inf, 1, 0)),
    1.0: ((inf, -1, 0), (0, 0, 0)),
    0.5: ((inf, -0.5, 0), (inf, 0.5, 0)),
}


@BOTH
@SIZES
@pytest.mark.parametrize("target", BCE)
def test_bce_with_an_infinite_logit_is_its_limit(target, dtype, size):
    for at, want in zip((-inf, inf), BCE[target]):
        check(bce(target), at, want, dtype, size)
        check(bce(target, weight=2.0), at, np.multiply(want, 2), dtype, size)
        twice = np.multiply(want, 2 if at < 0 else 1)  # only a loss of ones is weighted
        check(bce(target, pos_weight=2.0), at, twice, dtype, size)


@BOTH
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_total_of_bce_with_infinite_logits_is_finite_where_each_is_right(reduction, dtype):
    x = mg.Tensor(np.array([inf, -inf] * 50, dtype)).requires_grad_()
    t = np.array([1, 0] * 50, dtype)
    loss = mg.binary_cross_entropy_with_logits(x, t, reduction=reduction)
    assert loss.item() == 0
    assert not mg.grad(loss, x).data.any()
    wrong = mg.binary_cross_entropy_with_logits(x, 1 - t, reduction=reduction)
    assert wrong.item() == inf and np.isfinite(mg.grad(wrong, x).data).all()


@BOTH
@pytest.mark.parametrize(
    ("loss", "below", "above"),
    [
        (mg.mse_loss, (inf, -inf, 2), (inf, inf, 2)),
        (mg.l1_loss, (inf, -1, 0), (inf, 1, 0)),
        (mg.smooth_l1_loss, (inf, -1, 0), (inf, 1, 0)),
        (mg.huber_loss, (inf, -1, 0), (inf, 1, 0)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_regression_loss_at_infinity_is_its_limit(loss, below, above, dtype):
    for at, want in ((-inf, below), (inf, above)):
        check(lambda x: loss(x, np.zeros(x.shape, x.dtype), reduction="none"), at, want, dtype)


@BOTH
def test_kl_div_without_probability_costs_nothing(dtype):
    """0 (log 0 - x) is 0 for any x, -inf too; e^t (t - x) tends to 0 as t tends to -inf."""
    zero, below = np.zeros(1, dtype), np.full(1, -inf, dtype)
    for x in (below, np.full(1, -3.0, dtype)):
        assert mg.kl_div(mg.Tensor(x), zero, reduction="sum").item() == 0
        assert mg.kl_div(mg.Tensor(x), below, log_target=True, reduction="sum").item() == 0
    check(lambda x: mg.kl_div(x, zero, reduction="none"), -inf, (0, 0, 0), dtype)
    check(lambda x: mg.kl_div(x, zero + 1, reduction="none"), -inf, (inf, -1, 0), dtype)
    of_log = lambda t: mg.kl_div(zero - 2, t, log_target=True, reduction="none")
    check(of_log, -inf, (0, 0, 0), dtype)
    of_target = lambda t: mg.kl_div(zero - 2, t, reduction="none")
    check(of_target, 0.0, (0, -inf, inf), dtype)
    check(of_target, 1.0, (2, 3, 1), dtype)


@BOTH
@pytest.mark.parametrize("logvar", [0.0, 1e-8, -1e-8, 1e-4, -1e-4, 1e-2, -0.2499, 0.2501, 1.0])
def test_the_kl_of_a_small_log_variance_is_not_negative_and_exact(logvar, dtype):
    x = float(dtype(logvar))
    terms = [1.0]  # (e^x - 1 - x) 2 / x^2 = 1 + x / 3 + x^2 / 12 + ...
    for k in range(3, 40):
        terms.append(terms[-1] * x / k)
    want = x * x / 4 * sum(reversed(terms))

    def kl(logvar):
        logvar = mg.reshape(logvar, (-1, 1))
        return mg.gaussian_kl(np.zeros(logvar.shape, dtype), logvar)

    y, slope, curvature = derivatives(kl, np.full(3, logvar, dtype))
    assert (y >= 0).all() and np.allclose(
        y, want, rtol=2e-6 if dtype == np.float32 else 1e-14, atol=0
    )
    assert np.allclose(slope, np.expm1(x) / 2, rtol=1e-6, atol=0)
    assert np.allclose(curvature, np.exp(x) / 2, rtol=1e-6)


@BOTH
def test_no_kl_of_random_small_log_variances_is_negative(dtype):
    rng = np.random.default_rng(0)
    logvar = (rng.choice([-1, 1], 20_000) * 10.0 ** rng.uniform(-12, 0, 20_000)).astype(dtype)
    for mean in (0.0, 1e-9):
        kl = mg.gaussian_kl(np.full((20_000, 1), mean, dtype), logvar[:, None])
        assert (kl >= 0).all()


@BOTH
def test_the_kl_of_an_infinite_log_variance_is_its_limit(dtype):
    kl = lambda x: mg.gaussian_kl(np.zeros((1, 1), dtype), mg.reshape(x, (1, 1)))
    check(kl, -inf, (inf, -0.5, 0), dtype)
    check(kl, inf, (inf, inf, inf), dtype)


@BOTH
def test_cross_entropy_without_weight_costs_nothing_however_wrong(dtype):
    x = mg.Tensor(np.array([[-inf, 0.0], [0.0, -inf]], dtype)).requires_grad_()
    loss = mg.cross_entropy(x, [0, 0], np.array([0.0, 1.0], dtype), reduction="sum")
    assert loss.item() == 0 and not mg.grad(loss, x).data.any()
    loss = mg.cross_entropy(x, [0, 0], reduction="none")
    assert loss.data.tolist() == [inf, 0]
    assert mg.grad(loss, x, np.ones(2, dtype)).data.tolist() == [[-1, 1], [0, 0]]


@BOTH
def test_cross_entropy_of_probabilities_0_costs_nothing_at_any_logit(dtype):
    x = mg.Tensor(np.array([[-inf, 0.0, 0.0]], dtype)).requires_grad_()
    target = np.array([[0.0, 0.5, 0.5]], dtype)
    loss = mg.cross_entropy(x, target)
    assert np.isclose(loss.item(), np.log(2))
    first = mg.grad(loss, x, create_graph=True)
    assert not first.data.any()
    assert np.isfinite(mg.grad(first, x, np.ones((1, 3), dtype)).data).all()


@BOTH
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_binary_cross_entropy_at_0_and_1_has_finite_derivatives(p, dtype):
    """Logarithms are at least -100, and so constant there."""

    def slope_of_target(p):
        t = mg.Tensor(np.full(1, 0.5, dtype)).requires_grad_()
        return mg.grad(mg.binary_cross_entropy(p, t, reduction="sum"), t, create_graph=True)

    leaf = mg.Tensor(np.full(1, p, dtype)).requires_grad_()
    slope = slope_of_target(leaf)
    assert slope.item() == (100 if p == 0 else -100)
    assert np.isfinite(mg.grad(slope, leaf, np.ones(1, dtype)).data).all()


# Losses and activations whose slope has a kink, and where: there they have no second derivative.
KINKS = {
    "huber_loss": (lambda x: mg.huber_loss(x, 0 * x.data, "none", 2.0), 2.0),
    "smooth_l1_loss": (lambda x: mg.smooth_l1_loss(x, 0 * x.data, "none", 0.5), 0.5),
    "elu": (mg.elu, 0.0),
    "relu": (lambda x: mg.relu(x) ** 2, 0.0),
    "where": (lambda x: mg.where(x > 0, x * x, 0.0), 0.0),
    "abs": (lambda x: x * mg.abs(x), 0.0),
}


@BOTH
@pytest.mark.parametrize("name", KINKS)
def test_at_the_kink_of_a_slope_the_second_derivative_is_0_as_in_pytorch(name, dtype):
    f, kink = KINKS[name]
    for at in {kink, -kink}:
        assert derivatives(f, np.array([at], dtype))[2] == 0
