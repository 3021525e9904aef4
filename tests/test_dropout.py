"""Dropout: one mask both ways, nothing in evaluation, all or nothing at the ends."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn


def ones(*shape):
    return mg.Tensor(np.ones(shape)).requires_grad_()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_gradient_passes_where_the_value_did_and_is_scaled_alike(p):
    x = ones(40, 50)
    y = mg.dropout(x, p, rng=mg.Generator(0))
    g = np.random.default_rng(0).normal(size=x.shape)
    kept = y.data != 0
    assert np.array_equal(mg.grad(y, x, g).data, g * y.data)  # x is 1: y is the scaled mask
    assert kept.mean() == pytest.approx(1 - p, abs=0.05)
    assert y.data.mean() == pytest.approx(1, abs=0.15)


def test_p_of_zero_is_the_identity_and_p_of_one_gives_zeros_with_gradient_zero():
    x = ones(3, 4)
    assert np.array_equal(mg.dropout(x, 0.0).data, x.data)
    y = mg.dropout(x, 1.0)
    assert not y.data.any()
    assert not mg.grad(y.sum(), x).data.any()


def test_evaluation_is_the_identity_and_draws_nothing():
    layer, x = nn.Dropout(0.5, rng=mg.Generator(0)).eval(), ones(5)
    before = layer.rng.state
    assert np.array_equal(layer(x).data, x.data)
    assert layer.rng.state == before


def test_second_derivatives_go_through_the_same_mask():
    x = ones(30)
    y = mg.dropout(x * x, 0.5, rng=mg.Generator(1)).sum()
    (first,) = mg.grad(y, [x], create_graph=True)
    assert np.array_equal(mg.grad(first.sum(), x).data, first.data)  # y = 2 x^2 or 0 at x = 1
