"""Extreme values give no NaN or infinity where the true result is finite (property 13)."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.testing import assert_close

INF = math.inf


def value_and_gradient(f, *xs):
    """The value and the gradients, for a cotangent of ones, of f at xs."""
    leaves = [mg.Tensor(np.asarray(x, np.float64)).requires_grad_() for x in xs]
    y = f(*leaves)
    grads = mg.grad(y, leaves, np.ones(y.shape), allow_unused=True)
    zeros = (np.zeros(x.shape) for x in leaves)
    return y.data, [z if g is None else g.data for g, z in zip(grads, zeros)]


# Each line: a function, where, its value there, its gradient. No warning may come on the way.
HUGE = 1e300
EXTREMES = {
    "sigmoid": (mg.sigmoid, [[-1000.0, 1000.0]], [0.0, 1.0], [[0.0, 0.0]]),
    "softplus": (mg.softplus, [[-1000.0, 1000.0]], [0.0, 1000.0], [[0.0, 1.0]]),
    "log_sigmoid": (mg.log_sigmoid, [[-1000.0, 1000.0]], [-1000.0, 0.0], [[1.0, 0.0]]),
    "silu": (mg.silu, [[-1000.0, 1000.0]], [0.0, 1000.0], [[0.0, 1.0]]),
    "gelu": (mg.gelu, [[-1000.0, 1000.0]], [0.0, 1000.0], [[0.0, 1.0]]),
    "gelu by tanh": (
        lambda x: mg.gelu(x, "tanh"), [[-1000.0, 1000.0]], [0.0, 1000.0], [[0.0, 1.0]]
    ),
    "tanh": (mg.tanh, [[-1000.0, 1000.0]], [-1.0, 1.0], [[0.0, 0.0]]),
    "erf": (mg.erf, [[-1000.0, 1000.0]], [-1.0, 1.0], [[0.0, 0.0]]),
    "elu": (mg.elu, [[-1000.0, 1000.0]], [-1.0, 1000.0], [[0.0, 1.0]]),
    "softmax": (lambda x: mg.softmax(x)[0], [[1000.0, 0.0]], 1.0, [[0.0, 0.0]]),
    "softmax with -inf": (lambda x: mg.softmax(x)[0], [[0.0, -INF]], 1.0, [[0.0, 0.0]]),
    "log_softmax": (lambda x: mg.log_softmax(x)[1], [[1000.0, 0.0]], -1000.0, [[-1.0, 1.0]]),
    "logsumexp": (mg.logsumexp, [[1000.0, 1000.0]], 1000.0 + math.log(2), [[0.5, 0.5]]),
    "logsumexp of small": (mg.logsumexp, [[-1000.0, 0.0]], 0.0, [[0.0, 1.0]]),
    "logsumexp with -inf": (mg.logsumexp, [[-INF, 1.0]], 1.0, [[0.0, 1.0]]),
    "norm of huge": (mg.norm, [[3 * HUGE, 4 * HUGE]], 5 * HUGE, [[0.6, 0.8]]),
    "norm of tiny": (mg.norm, [[3 / HUGE, 4 / HUGE]], 5 / HUGE, [[0.6, 0.8]]),
    "3-norm of huge": (
        lambda x: mg.norm(x, 3), [[HUGE, HUGE]], 2 ** (1 / 3) * HUGE, [[2 ** (-2 / 3)] * 2]
    ),
    "cross-entropy": (
        lambda x: mg.cross_entropy(x, np.array([1])), [[[1000.0, 0.0]]], 1000.0, [[[1.0, -1.0]]]
    ),
    "cross-entropy, sure and right": (
        lambda x: mg.cross_entropy(x, np.array([0])), [[[1000.0, 0.0]]], 0.0, [[[0.0, 0.0]]]
    ),
    "binary cross-entropy with logits": (
        lambda x: mg.binary_cross_entropy_with_logits(x, np.array([1.0, 0.0]), reduction="sum"),
        [[-1000.0, 1000.0]], 2000.0, [[-1.0, 1.0]]
    ),
    "binary cross-entropy with logits and pos_weight": (
        lambda x: mg.binary_cross_entropy_with_logits(
            x, np.array([1.0, 0.0]), pos_weight=np.array(2.0), reduction="sum"
        ),
        [[-1000.0, 1000.0]], 3000.0, [[-2.0, 1.0]]
    ),
    "std of large values": (mg.std, [[1e9, 1e9 + 2]], 1.0, [[-0.5, 0.5]]),
    "layer_norm of large values": (
        lambda x: mg.layer_norm(x, 2, eps=0.0)[0], [[1e9, 1e9 + 2]], -1.0, [[0.0, 0.0]]
    ),
    "binary cross-entropy at 0 and 1": (
        lambda x: mg.binary_cross_entropy(x, np.array([0.0, 1.0, 1.0]), reduction="sum"),
        [[0.0, 1.0, 0.0]], 100.0, [[0.0, 0.0, -1e12]]
    ),
    "kl_div with probability 0": (
        lambda x: mg.kl_div(x, np.array([0.0, 1.0]), reduction="sum"),
        [[-5.0, -1.0]], 1.0, [[0.0, -1.0]]
    ),
    "expm1 of tiny": (mg.expm1, [1e-20], 1e-20, [1.0]),
    "log1p of tiny": (mg.log1p, [1e-20], 1e-20, [1.0]),
}  # fmt: skip


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("case", EXTREMES)
def test_extreme_values_give_the_finite_truth(case, order):
    f, xs, want, gradients = EXTREMES[case]
    if order == 1:
        y, found = value_and_gradient(f, *xs)
        assert_close(y, np.asarray(want, np.float64), name=case)
    else:  # the walk that builds a graph must stay finite too
        leaves = [mg.Tensor(np.asarray(x, np.float64)).requires_grad_() for x in xs]
        y = f(*leaves)
        traced = mg.grad(y, leaves, np.ones(y.shape), create_graph=True)
        found = [g.data for g in traced]
    for g, expected in zip(found, gradients, strict=True):
        assert_close(g, np.asarray(expected, np.float64), 1e-11, f"gradient of {case}")
