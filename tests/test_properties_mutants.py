"""The checker is checked: wrong derivatives, planted one at a time, that it must reject."""

import numpy as np
import pytest

import minigen as mg
from minigen import ops
from minigen.errors import ShapeError
from minigen.ops.reduce import spread
from minigen.ops.shape import raw, sum_to
from minigen.primitives import REGISTRY
from minigen.testing import gradcheck
from minigen.testing.cases import draw_call
from minigen.testing.choices import Choices
from minigen.testing.properties import check_call

SEEDS = range(20)
CROSS_ENTROPY, LAYER_NORM = (REGISTRY[name].backward for name in ("_cross_entropy", "_layer_norm"))
CONVOLVE, (TAKE,) = (REGISTRY[name].rules for name in ("_convolve", "_take_in_rows"))
LSTM, GRU = (REGISTRY[name].backward for name in ("lstm", "gru"))
ADD, CONCATENATE = REGISTRY["add"].rules[0], REGISTRY["_concatenate"].rules[0]


def fitted(g, x):
    """g summed to the shape of x."""
    return g if g.shape == x.shape else sum_to(g, x.shape)


def averaged(g, y, a, b):
    return ADD(g, y, a, b) * (max(1, np.size(raw(y))) ** -1 * max(1, np.prod(a.shape)))


def overwritten(g, y, x, index):
    out = np.zeros(x.shape, x.dtype)
    out[index] = raw(g)
    return out


def without_mean(g, statistics, wanted, x, weight, bias, eps):
    _, *rest = LAYER_NORM(g, statistics, wanted, x, weight, bias, eps)
    return [g * statistics[1] * (1.0 if weight is None else weight), *rest]


def scaled(g, *rest, **static):
    gx, *others = CROSS_ENTROPY(g, *rest, **static)
    return [1.001 * gx, *others]


def cut_in_time(g, saved, wanted, x, h0, c0, weight_ih, weight_hh, *biases):
    return LSTM(g, saved, wanted, x, h0, c0, weight_ih, 0 * weight_hh, *biases)


def of_the_state_after(g, saved, *rest):
    gates, h, hidden_n = saved
    return GRU(g, (gates, np.concatenate([h[1:], h[-1:]]), hidden_n), *rest)


# What is wrong: the op whose rules are replaced, the public op to check, which rule, the rule.
RULES = {
    "a factor of 0.999": ("multiply", "multiply", 0, lambda g, y, a, b: fitted(0.999 * g * b, a)),
    "a lost factor": ("square", "square", 0, lambda g, y, x: g * x),
    "a sign": ("subtract", "subtract", 1, lambda g, y, a, b: fitted(g, b)),
    "a mean for the sum over a broadcast axis": ("add", "add", 0, averaged),
    "no sum over a broadcast axis": ("add", "add", 1, lambda g, y, a, b: g),
    "swapped arguments": ("multiply", "multiply", 1, lambda g, y, a, b: fitted(g * b, b)),
    "swapped branches": (
        *("_where", "where", 1),
        lambda g, y, condition, a, b: fitted(ops.where(condition, 0.0, g), a),
    ),
    "zeros": ("exp", "exp", 0, lambda g, y, x: 0.0 * g),
    "zeros for the second argument": ("power", "power", 1, lambda g, y, a, b: fitted(0.0 * g, b)),
    "zeros that a cotangent of ones accepts": (
        "softmax",
        "softmax",
        0,
        lambda g, y, x, axis: 0 * g,
    ),
    "the diagonal alone": ("softmax", "softmax", 0, lambda g, y, x, axis: g * y * (1 - y)),
    "an argument shifted by 0.001": ("sin", "sin", 0, lambda g, y, x: g * ops.cos(x + 1e-3)),
    "a stale saved value": ("divide", "divide", 1, lambda g, y, a, b: fitted(-g / b, b)),
    "detached at second order": (
        *("tanh", "tanh", 0),
        lambda g, y, x: g * (1 - np.square(raw(y))),
    ),
    "an argument detached at second order": ("log", "log", 0, lambda g, y, x: g / raw(x)),
    "the cotangent detached": ("sigmoid", "sigmoid", 0, lambda g, y, x: raw(g) * (y * (1 - y))),
    "a wrong axis": (
        *("sum", "sum", 0),
        lambda g, y, x, axis, keepdims: ops.flip(spread(g, x, axis)),
    ),
    "a sum that runs the wrong way": (
        *("cumsum", "cumsum", 0),
        lambda g, y, x, axis: ops.cumsum(g, axis),
    ),
    "duplicates overwritten": ("_getitem", "getitem", 0, overwritten),
    "an order for its inverse": (
        *("transpose", "transpose", 0),
        lambda g, y, x, axes: ops.transpose(g, axes),
    ),
    "filters turned around": (
        *("_convolve", "conv2d", 0),
        lambda g, y, x, w, **how: CONVOLVE[0](g, y, x, ops.flip(w, (2, 3)), **how),
    ),
    "images shifted under the windows": (
        *("_convolve", "conv2d", 1),
        lambda g, y, x, w, **how: CONVOLVE[1](g, y, ops.roll(x, 1, 3), w, **how),
    ),
    "a window's mean given to its first place": (
        *("_sum_windows", "avg_pool2d", 0),
        lambda g, y, x, size, stride: REGISTRY["_spread_windows"].function(
            g, (1, 1), stride, x.shape[2:]
        ),
    ),
    "the place beside the maximum": (
        *("_take_in_rows", "max_pool2d", 0),
        lambda g, y, x, index: ops.roll(TAKE(g, y, x, index), 1, 1),
    ),
    "off by one": (
        *("_concatenate", "concatenate", 0),
        lambda g, y, i, *xs, axis: ops.roll(CONCATENATE(g, y, i, *xs, axis=axis), 1, axis),
    ),
}
BACKWARDS = {
    "a fused backward without its means": ("_layer_norm", "layer_norm", without_mean),
    "a fused backward 0.1 % too large": ("_cross_entropy", "cross_entropy", scaled),
    "a recurrence cut between steps": ("lstm", "lstm", cut_in_time),
    "the state after a step for that before": ("gru", "gru", of_the_state_after),
}


def by_gradcheck(call, rng):
    gradcheck(call, call.arrays)


def rejects(check, name):
    """Whether check fails for one of a few calls of the op."""
    for seed in SEEDS:
        try:
            check(draw_call(name, Choices(seed)), np.random.default_rng(seed))
        except (AssertionError, ShapeError):
            return True
    return False


@pytest.mark.parametrize("name", sorted({row[1] for row in [*RULES.values(), *BACKWARDS.values()]}))
@pytest.mark.parametrize("check", [check_call, by_gradcheck])
def test_the_right_derivative_is_accepted(name, check):
    assert not rejects(check, name)


@pytest.mark.parametrize("check", [check_call, by_gradcheck])
@pytest.mark.parametrize("wrong", RULES)
def test_a_wrong_rule_is_rejected(wrong, check, monkeypatch):
    core, name, i, rule = RULES[wrong]
    rules = list(REGISTRY[core].rules)
    rules[i] = rule
    monkeypatch.setattr(REGISTRY[core], "rules", rules)
    assert rejects(check, name)


@pytest.mark.parametrize("check", [check_call, by_gradcheck])
@pytest.mark.parametrize("wrong", BACKWARDS)
def test_a_wrong_fused_backward_is_rejected(wrong, check, monkeypatch):
    core, name, backward = BACKWARDS[wrong]
    monkeypatch.setattr(REGISTRY[core], "backward", backward)
    assert rejects(check, name)


def test_the_first_of_a_tie_instead_of_an_even_split_is_rejected():
    """Away from ties both are right; at one, half a gradient to each is the mean slope."""

    def first(g, y, x, axis, keepdims):
        out = np.zeros(x.shape)
        out.flat[np.argmax(raw(x))] = raw(g)
        return out

    op, x = REGISTRY["max"], np.array([1.0, 3.0, 3.0])
    gradcheck(mg.max, x, order=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op, "rules", (first,))
        with pytest.raises(AssertionError):
            gradcheck(mg.max, x, order=1)
