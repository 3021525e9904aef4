"""The values and gradients where conventions decide: ties, kinks, edges (12) and extremes (13)."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.testing import assert_close

INF, NAN = math.inf, math.nan


def value_and_gradient(f, *xs):
    """The value and the gradients, for a cotangent of ones, of f at xs."""
    leaves = [mg.Tensor(np.asarray(x, np.float64)).requires_grad_() for x in xs]
    y = f(*leaves)
    grads = mg.grad(y, leaves, np.ones(y.shape), allow_unused=True)
    zeros = (np.zeros(x.shape) for x in leaves)
    return y.data, [z if g is None else g.data for g, z in zip(grads, zeros)]


# Each line: a function, where, its value there, its gradient for each argument.
CONVENTIONS = {
    "relu(0)": (mg.relu, [0.0], 0.0, [0.0]),
    "relu(-0)": (mg.relu, [-0.0], 0.0, [0.0]),
    "abs(0)": (mg.abs, [0.0], 0.0, [0.0]),
    "sign(0)": (mg.sign, [0.0], 0.0, [0.0]),
    "leaky_relu(0)": (mg.leaky_relu, [0.0], 0.0, [0.01]),
    "elu(0)": (mg.elu, [0.0], 0.0, [1.0]),
    "clip at its bounds": (lambda x: mg.clip(x, -1.0, 2.0), [[-1.0, 2.0]], [-1.0, 2.0], [[1, 1]]),
    "maximum at a tie": (mg.maximum, [1.0, 1.0], 1.0, [0.5, 0.5]),
    "minimum at a tie": (mg.minimum, [1.0, 1.0], 1.0, [0.5, 0.5]),
    "maximum(x, x)": (lambda x: mg.maximum(x, x), [2.0], 2.0, [1.0]),
    "max of ties": (mg.max, [[3.0, 1.0, 3.0]], 3.0, [[0.5, 0.0, 0.5]]),
    "min of ties": (mg.min, [[[1.0, 1.0], [1.0, 1.0]]], 1.0, [[[0.25, 0.25], [0.25, 0.25]]]),
    "max of ties over an axis": (
        lambda x: mg.max(x, 0),
        [[[2.0, 1.0], [2.0, 3.0]]],
        [2.0, 3.0],
        [[[0.5, 0], [0.5, 1]]],
    ),
    "sqrt(0)": (mg.sqrt, [0.0], 0.0, [INF]),
    "log(0)": (mg.log, [0.0], -INF, [INF]),
    "1 / 0": (mg.reciprocal, [0.0], INF, [-INF]),
    "1 / -0": (lambda x: 1.0 / x, [-0.0], -INF, [-INF]),
    "0 ** 0": (lambda x: x**0, [0.0], 1.0, [0.0]),
    "0 ** 0.0 of tensors": (mg.power, [0.0, 0.0], 1.0, [0.0, 0.0]),
    "0 ** 2": (mg.power, [0.0, 2.0], 0.0, [0.0, 0.0]),
    "(-1) ** 2, by the exponent": (lambda y: mg.power(-1.0, y), [2.0], 1.0, [NAN]),
    "std of one, ddof=1": (lambda x: mg.std(x, ddof=1), [[2.0]], NAN, [[NAN]]),
    "std of a constant": (mg.std, [[2.0, 2.0, 2.0]], 0.0, [[0.0, 0.0, 0.0]]),
    "norm of 0": (mg.norm, [[0.0, 0.0]], 0.0, [[0.0, 0.0]]),
    "1-norm of 0": (lambda x: mg.norm(x, 1), [[0.0, 0.0]], 0.0, [[0.0, 0.0]]),
    "3-norm of 0": (lambda x: mg.norm(x, 3), [[0.0, 0.0]], 0.0, [[0.0, 0.0]]),
    "prod with a zero": (mg.prod, [[0.0, 2.0, 3.0]], 0.0, [[6.0, 0.0, 0.0]]),
    "prod with two zeros": (mg.prod, [[0.0, 2.0, 0.0]], 0.0, [[0.0, 0.0, 0.0]]),
    "logsumexp of all -inf": (mg.logsumexp, [[-INF, -INF]], -INF, [[NAN, NAN]]),
    "mean of nothing": (mg.mean, [np.zeros((0, 2))], NAN, [np.zeros((0, 2))]),
    "sum of nothing": (mg.sum, [np.zeros((2, 0))], 0.0, [np.zeros((2, 0))]),
    "prod of nothing": (mg.prod, [np.zeros(0)], 1.0, [np.zeros(0)]),
    "softmax of shape (0, 3)": (
        mg.softmax,
        [np.zeros((0, 3))],
        np.zeros((0, 3)),
        [np.zeros((0, 3))],
    ),
    "log_softmax over nothing": (
        lambda x: mg.log_softmax(x, 0),
        [np.zeros((0, 3))],
        np.zeros((0, 3)),
        [np.zeros((0, 3))],
    ),
    "duplicates in getitem": (
        lambda x: x[np.array([1, 1, 0])],
        [[1.0, 2.0]],
        [2.0, 2.0, 1.0],
        [[1.0, 2.0]],
    ),
    "duplicates in a tuple in an index": (
        lambda x: x[(1, 1),],
        [[1.0, 2.0]],
        [2.0, 2.0],
        [[0.0, 2.0]],
    ),
    "duplicates in take_along_axis": (
        lambda x: mg.take_along_axis(x, np.array([0, 0, 1]), 0),
        [[1.0, 2.0]],
        [1, 1, 2],
        [[2, 1]],
    ),
    "duplicates in embedding": (
        lambda w: mg.embedding(np.array([1, 1]), w),
        [[[1.0], [2.0]]],
        [[2.0], [2.0]],
        [[[0.0], [2]]],
    ),
    "cross-entropy, all ignored": (
        lambda x: mg.cross_entropy(x, np.array([-100])),
        [[[1.0, 2.0]]],
        NAN,
        [[[0.0, 0.0]]],
    ),
}


@pytest.mark.parametrize("case", CONVENTIONS)
def test_convention(case):
    f, xs, want, gradients = CONVENTIONS[case]
    with np.errstate(all="ignore"):
        y, found = value_and_gradient(f, *xs)
    assert_close(y, np.asarray(want, np.float64), name=case)
    for g, expected in zip(found, gradients, strict=True):
        assert_close(g, np.asarray(expected, np.float64), 1e-15, f"gradient of {case}")


@pytest.mark.parametrize("f", [mg.max, mg.min, mg.relu, lambda x: mg.maximum(x, 0.0)])
def test_nan_is_kept(f):
    assert np.isnan(np.asarray(f(np.array([1.0, NAN])))).any()


@pytest.mark.parametrize("f", [mg.max, mg.min, mg.argmax, mg.argmin])
def test_extreme_of_nothing_raises(f):
    with pytest.raises(ValueError, match="nothing"):
        f(np.zeros((0,)))


def test_argmax_and_argmin_take_the_first_of_a_tie():
    assert mg.argmax(np.array([1.0, 3.0, 3.0])) == 1 and mg.argmin(np.array([2.0, 1.0, 1.0])) == 1


def test_softmax_of_all_minus_infinity_is_nan():
    with np.errstate(invalid="ignore"):
        assert np.isnan(mg.softmax(np.array([-INF, -INF]))).all()


# Extremes: the true value and gradient are finite, and no warning may come on the way.
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
