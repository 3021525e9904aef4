"""Mistakes in the derivatives of the ops that layers call: softmax, windows, linear, LSTM, GRU."""

import numpy as np

from minigen import ops
from minigen.autodiff.primitives import REGISTRY
from minigen.testing import causes
from minigen.testing.faults.planting import backward_fault, instead, rule_fault

SOFTMAX = (
    rule_fault(
        *("only the diagonal of the Jacobian", "softmax", 0, causes.VALUES),
        instead(lambda g, y, x, axis: g * y * (1 - y)),
    ),
    rule_fault(
        *("zeros, which a cotangent of ones accepts", "softmax", 0, causes.ZERO),
        instead(lambda g, y, x, axis: 0 * g),
    ),
)

# ---------------------------------------------------------------- convolution and pooling

CONVOLVE = REGISTRY["_convolve"].rules
(TAKE,) = REGISTRY["_take_along_rows"].rules


def all_to_first(g, y, x, size, stride):
    """The gradient of a window's sum, added to the first value of the window only."""
    return REGISTRY["_spread_windows"].function(g, (1, 1), stride, x.shape[2:])


WINDOWS = (
    rule_fault(
        *("filters turned around", "_convolve", 0, causes.VALUES),
        instead(
            lambda g, y, x, w, b, **static: CONVOLVE[0](g, y, x, ops.flip(w, (2, 3)), b, **static)
        ),
        public_op="conv2d",
    ),
    rule_fault(
        *("images shifted under the windows", "_convolve", 1, causes.VALUES),
        instead(
            lambda g, y, x, w, b, **static: CONVOLVE[1](g, y, ops.roll(x, 1, 3), w, b, **static)
        ),
        public_op="conv2d",
    ),
    rule_fault(
        *("a window's gradient added to its first value only", "_sum_windows", 0, causes.VALUES),
        instead(all_to_first),
        public_op="avg_pool2d",
    ),
    rule_fault(
        *("the value after the maximum", "_take_along_rows", 0, causes.MOVED),
        instead(lambda g, y, x, index: ops.roll(TAKE(g, y, x, index), 1, 1)),
        public_op="max_pool2d",
    ),
    rule_fault(
        *("the value before the maximum", "_take_along_rows", 0, causes.MOVED),
        instead(lambda g, y, x, index: ops.roll(TAKE(g, y, x, index), -1, 1)),
        public_op="max_pool2d",
    ),
)

# ------------------------------------------------------------- the backward of fused ops


def transposed_weight(right):
    """Of linear: the gradient of the weight transposed."""

    def backward(*args):
        gx, gw, gb = right(*args)
        return gx, None if gw is None else gw.T, gb

    return backward


def first_row_for_bias(right):
    """Of linear: the first row of the cotangent for the bias instead of the sum of all rows."""

    def backward(g, *rest):
        gx, gw, gb = right(g, *rest)
        return gx, gw, gb if gb is None or not g.size else g.reshape(-1, len(gb))[0]

    return backward


def without_means(right):
    """Of layer norm: the gradient of x as if the mean and the variance were constants."""

    def backward(g, statistics, wanted, x, weight, bias, eps):
        _, *rest = right(g, statistics, wanted, x, weight, bias, eps)
        return (g * statistics[1] * (1.0 if weight is None else weight), *rest)

    return backward


def without_recurrence(right):
    """Of the LSTM: no gradient through the hidden state from one step to the one before."""

    def backward(g, saved, wanted, x, h0, c0, weight_ih, weight_hh, *biases):
        return right(g, saved, wanted, x, h0, c0, weight_ih, 0 * weight_hh, *biases)

    return backward


def state_after_step(right):
    """Of the GRU: the hidden state after each step instead of the one before it."""

    def backward(g, saved, *rest):
        gates, h, hidden_n = saved
        return right(g, (gates, np.concatenate([h[1:], h[-1:]]), hidden_n), *rest)

    return backward


FUSED = (
    backward_fault(
        *("a weight's gradient transposed", "linear", 1, causes.TRANSPOSED), transposed_weight
    ),
    backward_fault(
        *("a bias's gradient from the first row only", "linear", 2, causes.VALUES),
        first_row_for_bias,
    ),
    backward_fault(
        *("a fused backward without its means", "_layer_norm", 0, causes.VALUES),
        without_means,
        public_op="layer_norm",
    ),
    backward_fault(
        *("a recurrence cut between steps", "lstm", 0, causes.VALUES), without_recurrence
    ),
    backward_fault(
        *("the state after a step for that before", "gru", 3, causes.VALUES), state_after_step
    ),
)

FAULTS = (*SOFTMAX, *WINDOWS, *FUSED)
