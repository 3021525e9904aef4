"""Mistakes of single ops, each a story of its own; the ones of any op are in `faults.py`."""

import numpy as np

from minigen import ops
from minigen.autodiff.primitives import REGISTRY, raw
from minigen.ops.reduce import spread
from minigen.ops.shape import sum_to
from minigen.testing import causes


def fitted(g, x):
    """g summed to the shape of x."""
    return g if g.shape == x.shape else sum_to(g, x.shape)


def replaced(rule):
    """The way from any right rule to this one."""
    return lambda right: rule


def averaged(right):
    """The mean over the copies of a broadcast argument, for their sum."""

    def rule(g, y, a, b):
        gradient = right(g, y, a, b)
        return gradient * (max(1, np.prod(a.shape)) / max(1, raw(g).size))

    return rule


def first_copy(right):
    def rule(g, y, a, b):
        lead = g.ndim - a.ndim
        part = g[(0,) * lead] if g.size else sum_to(g, a.shape)
        for axis, n in enumerate(a.shape):
            if part.shape[axis] != n:
                part = ops.getitem(part, (slice(None),) * axis + (slice(0, 1),))
        return part

    return rule


def overwritten(g, y, x, index):
    out = np.zeros(x.shape, x.dtype)
    out[index] = raw(g)
    return out


CONVOLVE, (TAKE,) = (REGISTRY[name].rules for name in ("_convolve", "_take_along_rows"))

# What is wrong: the op whose rule is replaced, a public op that reaches it, which argument, what
# gradcheck should call it, and the way from the right rule to the wrong one.
RULES = {
    "a mean for the sum over a broadcast axis": ("add", "add", 0, causes.BROADCAST, averaged),
    "no sum over a broadcast axis": (
        *("add", "add", 1, causes.BROADCAST),
        replaced(lambda g, y, a, b: g),
    ),
    "no sum in a product": (
        *("multiply", "multiply", 0, causes.BROADCAST),
        replaced(lambda g, y, a, b: g * b),
    ),
    "no sum in a difference": (
        *("subtract", "subtract", 1, causes.BROADCAST),
        replaced(lambda g, y, a, b: -g),
    ),
    "the first copy for the sum over them": ("add", "add", 0, causes.BROADCAST, first_copy),
    "a mean for the sum that undoes a broadcast": (
        *("broadcast_to", "broadcast_to", 0, causes.BROADCAST),
        lambda right: (
            lambda g, y, x, **how: (
                right(g, y, x, **how) * (max(1, np.prod(x.shape)) / max(1, g.size))
            )
        ),
    ),
    "swapped arguments of a product": (
        *("multiply", "multiply", 0, causes.SWAPPED),
        replaced(lambda g, y, a, b: fitted(g * a, a)),
    ),
    "swapped arguments of a quotient": (
        *("divide", "divide", 1, causes.SWAPPED),
        replaced(lambda g, y, a, b: fitted(g / b, b)),
    ),
    "swapped arguments of a difference": (
        *("subtract", "subtract", 0, causes.SIGN),
        replaced(lambda g, y, a, b: fitted(-g, a)),
    ),
    "base and exponent swapped": (
        *("power", "power", 0, causes.SWAPPED),
        replaced(lambda g, y, a, b: fitted(g * a * ops.power(b, a - 1.0), a)),
    ),
    "swapped branches": (
        *("_where", "where", 1, causes.SWAPPED),
        replaced(lambda g, y, condition, a, b: fitted(ops.where(condition, 0.0, g), a)),
    ),
    "the smaller for the larger": (
        *("maximum", "maximum", 0, causes.SWAPPED),
        lambda right: lambda g, y, a, b: right(g, y, -a, -b),
    ),
    "swapped factors of a matrix product": (
        *("_matmul", "matmul", 0, causes.TRANSPOSED),
        lambda right: lambda g, y, a, b: right(g, y, a, _turned(b)),
    ),
    "a matrix product with its gradient transposed": (
        *("_matmul", "matmul", 1, causes.TRANSPOSED),
        lambda right: lambda g, y, a, b: _turned(right(g, y, a, b)),
    ),
    "an order for its inverse": (
        *("transpose", "transpose", 0, causes.TRANSPOSED),
        replaced(lambda g, y, x, axes: ops.transpose(g, axes)),
    ),
    "the diagonal alone": (
        *("softmax", "softmax", 0, causes.VALUES),
        replaced(lambda g, y, x, axis: g * y * (1 - y)),
    ),
    "zeros that a cotangent of ones accepts": (
        *("softmax", "softmax", 0, causes.ZERO),
        replaced(lambda g, y, x, axis: 0 * g),
    ),
    "no mean in a variance": (
        *("var", "var", 0, causes.FACTOR),
        lambda right: lambda g, y, x, **how: right(g, y, x, **how) * 2.0,
    ),
    "an argument shifted by 0.001": (
        *("sin", "sin", 0, causes.VALUES),
        replaced(lambda g, y, x: g * ops.cos(x + 1e-3)),
    ),
    "a derivative of a neighbour function": (
        *("sigmoid", "sigmoid", 0, causes.VALUES),
        replaced(lambda g, y, x: g * (1 - y * y)),
    ),
    "a stale square": (
        *("divide", "divide", 1, causes.VALUES),
        replaced(lambda g, y, a, b: fitted(-g / b, b)),
    ),
    "the output detached at second order": (
        *("tanh", "tanh", 0, causes.HIGHER),
        replaced(lambda g, y, x: g * (1 - np.square(raw(y)))),
    ),
    "an argument detached at second order": (
        *("log", "log", 0, causes.HIGHER),
        replaced(lambda g, y, x: g / raw(x)),
    ),
    "the cotangent detached": (
        *("sigmoid", "sigmoid", 0, causes.HIGHER),
        replaced(lambda g, y, x: raw(g) * (y * (1 - y))),
    ),
    "a factor at second order alone": (
        *("square", "square", 0, causes.HIGHER),
        replaced(lambda g, y, x: 2.0 * g * x if isinstance(g, np.ndarray) else 2.0 * g * raw(x)),
    ),
    "a wrong axis": (
        *("sum", "sum", 0, causes.MOVED),
        replaced(lambda g, y, x, axis, keepdims: ops.flip(spread(g, x, axis))),
    ),
    "a sum that runs the wrong way": (
        *("cumsum", "cumsum", 0, causes.VALUES),
        replaced(lambda g, y, x, axis: ops.cumsum(g, axis)),
    ),
    "duplicates overwritten": (
        *("_getitem", "getitem", 0, causes.VALUES),
        replaced(overwritten),
    ),
    "filters turned around": (
        *("_convolve", "conv2d", 0, causes.VALUES),
        replaced(lambda g, y, x, w, b, **how: CONVOLVE[0](g, y, x, ops.flip(w, (2, 3)), b, **how)),
    ),
    "images shifted under the windows": (
        *("_convolve", "conv2d", 1, causes.VALUES),
        replaced(lambda g, y, x, w, b, **how: CONVOLVE[1](g, y, ops.roll(x, 1, 3), w, b, **how)),
    ),
    "a window's sum given to its first place": (
        *("_sum_windows", "avg_pool2d", 0, causes.VALUES),
        replaced(
            lambda g, y, x, size, stride: REGISTRY["_spread_windows"].function(
                g, (1, 1), stride, x.shape[2:]
            )
        ),
    ),
    "the place beside the maximum": (
        *("_take_along_rows", "max_pool2d", 0, causes.MOVED),
        replaced(lambda g, y, x, index: ops.roll(TAKE(g, y, x, index), 1, 1)),
    ),
    "the last of a tie's places": (
        *("_take_along_rows", "max_pool2d", 0, causes.MOVED),
        replaced(lambda g, y, x, index: ops.roll(TAKE(g, y, x, index), -1, 1)),
    ),
    "off by one": (
        *("_concatenate", "concatenate", 0, causes.MOVED),
        lambda right: lambda g, y, i, *xs, axis: ops.roll(right(g, y, i, *xs, axis=axis), 1, axis),
    ),
}


def _turned(x):
    """A matrix transposed where that leaves its shape, or else as it is."""
    return ops.swapaxes(x, -1, -2) if x.ndim > 1 and x.shape[-1] == x.shape[-2] else x


def without_mean(right):
    def backward(g, statistics, wanted, x, weight, bias, eps):
        _, *rest = right(g, statistics, wanted, x, weight, bias, eps)
        return (g * statistics[1] * (1.0 if weight is None else weight), *rest)

    return backward


def cut_in_time(right):
    def backward(g, saved, wanted, x, h0, c0, weight_ih, weight_hh, *biases):
        return right(g, saved, wanted, x, h0, c0, weight_ih, 0 * weight_hh, *biases)

    return backward


def of_the_state_after(right):
    def backward(g, saved, *rest):
        gates, h, hidden_n = saved
        return right(g, (gates, np.concatenate([h[1:], h[-1:]]), hidden_n), *rest)

    return backward


def turned_weight(right):
    def backward(*args):
        gx, gw, gb = right(*args)
        return gx, None if gw is None else gw.T, gb

    return backward


def first_row_for_bias(right):
    def backward(g, *rest):
        gx, gw, gb = right(g, *rest)
        return gx, gw, gb if gb is None or not g.size else g.reshape(-1, len(gb))[0]

    return backward


BACKWARDS = {
    "a weight's gradient transposed": (
        *("linear", "linear", 1, causes.TRANSPOSED),
        turned_weight,
    ),
    "a bias's gradient of the first row alone": (
        *("linear", "linear", 2, causes.VALUES),
        first_row_for_bias,
    ),
    "a fused backward without its means": (
        *("_layer_norm", "layer_norm", 0, causes.VALUES),
        without_mean,
    ),
    "a recurrence cut between steps": ("lstm", "lstm", 0, causes.VALUES, cut_in_time),
    "the state after a step for that before": (
        *("gru", "gru", 3, causes.VALUES),
        of_the_state_after,
    ),
}


def one_of_a_tie(place):
    """All of the gradient to one of the largest values, for an even split."""

    def changed(right):
        def rule(g, y, x, axis, keepdims):
            largest = raw(x) == raw(y)
            out = np.zeros(x.shape)
            out.flat[np.flatnonzero(largest)[place]] = np.sum(raw(g))
            return out

        return rule

    return changed


def all_to(chosen):
    """All of the gradient to one argument at a tie, for half to each."""
    return replaced(lambda g, y, a, b: fitted(g * chosen(raw(a), raw(b)), a))


TIED = np.array([1.0, 3.0, -2.0, 3.0])

# Wrong at ties alone: the op, which argument, from the right rule to the wrong one, and where.
TIES = {
    "the first of a tie, not an even split": ("max", 0, one_of_a_tie(0), TIED),
    "the last of a tie, not an even split": ("max", 0, one_of_a_tie(-1), TIED),
    "the first of the least, not an even split": ("min", 0, one_of_a_tie(0), -TIED),
    "all of a tie to one argument": (
        "maximum",
        0,
        all_to(np.greater_equal),
        TIED,
        TIED + [0, 1, 0, -1],
    ),
    "nothing of a tie to one argument": ("minimum", 0, all_to(np.less), TIED, TIED + [0, 1, 0, -1]),
}
