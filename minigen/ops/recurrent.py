"""Recurrent layers: one layer, in one direction, over a whole sequence.

Each op is defined step by step, as papers write it. Its forward makes the part of the gates that
x contributes in one product over all steps; what is left for the loop, which is a kernel, is one
product with the state and the arithmetic of a step. The backward pass is the loop in reverse, and
again one product over all steps for each weight.

Shapes: T steps, B sequences, D inputs, H units; K gates, stacked along the rows of weight_ih
(K H, D) and weight_hh (K H, H).
"""

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import floating
from minigen.errors import ShapeError
from minigen.ops.activations import relu, sigmoid
from minigen.ops.elementwise import tanh, where
from minigen.ops.joining import split, stack
from minigen.ops.linalg import linear, rows_of


def _fitted(name, gates, x, weight_ih, weight_hh, biases, states):
    """All arrays, as named, in one dtype; ShapeError for one that does not fit.

    x is in C order: the backward passes get it from the forward ones, and need not copy it again.
    """
    if x.ndim != 3 or x.shape[0] == 0:
        raise ShapeError(f"{name}: x must be (T, B, D) with at least one step, got {x.shape}")
    if weight_hh.ndim != 2:
        raise ShapeError(f"{name}: weight_hh must be ({gates} H, H), got {weight_hh.shape}")
    (_, count, size), units = x.shape, weight_hh.shape[1]
    rows = gates * units
    wanted = {
        "weight_ih": (weight_ih, (rows, size)),
        "weight_hh": (weight_hh, (rows, units)),
        **{key: (b, (rows,)) for key, b in zip(("bias_ih", "bias_hh"), biases)},
        **{key: (s, (count, units)) for key, s in states.items()},
    }
    for key, (array, shape) in wanted.items():
        if array is not None and array.shape != shape:
            raise ShapeError(
                f"{name}: {key} {array.shape} must be {shape} for x {x.shape}, "
                f"(T, B, D), and weight_hh {weight_hh.shape}, ({gates} H, H)"
            )
    arrays = [array_module(x).ascontiguousarray(x), *(array for array, _ in wanted.values())]
    dtype = np.result_type(*(a.dtype for a in arrays if a is not None))
    return [a if a is None or a.dtype == dtype else a.astype(dtype) for a in arrays]


def _buffers(steps, first, *widths):
    """An empty (T, B, width) for each width, and (T + 1, B, H) that starts with each of first."""
    count, units = first[0].shape
    xp, dtype = array_module(first[0]), first[0].dtype
    states = [xp.empty((steps + 1, count, units), dtype) for _ in first]
    for state, start in zip(states, first):
        state[0] = start
    return [*states, *(xp.empty((steps, count, width), dtype) for width in widths)]


def _start(g, like):
    """An array of its own that cotangents are added to: g, or zeros where there is none."""
    return array_module(like).zeros(like.shape, like.dtype) if g is None else g.copy()


def _sum(a, b):
    return b if a is None else a if b is None else a + b


def _products(gx, ghidden, wanted, x, h, weight_ih):
    """Cotangents of x, weight_ih, weight_hh and the biases from those of the two parts of gates.

    gx and ghidden (T, B, K H); h (T, B, H) the states before each step.
    """
    ga, gb = rows_of(gx), rows_of(ghidden)  # (T B, K H)
    of_x, of_ih, of_hh, of_bias_ih, of_bias_hh = wanted
    wanted = of_x, of_ih, of_bias_ih
    for_x, for_ih, for_bias_ih = kernels.linear_vjp(ga, rows_of(x), weight_ih, wanted, False)
    if gx is ghidden and of_bias_ih and of_bias_hh:
        for_bias_hh = for_bias_ih.copy()
    else:
        for_bias_hh = kernels.sum_rows(gb) if of_bias_hh else None
    return (
        for_x.reshape(x.shape) if of_x else None,
        for_ih,
        kernels.matmul(gb.T, rows_of(h)) if of_hh else None,
        for_bias_ih,
        for_bias_hh,
    )


# ----------------------------------------------------------------------------------- LSTM


def _lstm_definition(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh):
    h, c, ys = h0, c0, []
    for t in range(x.shape[0]):
        z = linear(x[t], weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)  # (B, 4H)
        i, f, g, o = split(z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        ys.append(h)
    return stack(ys), h, c


def _lstm_backward(g, saved, wanted, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh):
    (gy, gh, gc), (x, gates, h, c, tanh_c) = g, saved
    gz, gh, gc = array_module(gates).empty_like(gates), _start(gh, h[0]), _start(gc, c[0])
    kernels.lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz)
    of_x, _, _, *others = wanted
    gx, *rest = _products(gz, gz, [of_x, *others], x, h[:-1], weight_ih)
    return (gx, gh, gc, *rest)


@fused(_lstm_definition, _lstm_backward, prepare=floating, returns_new=True)
def lstm(
    x: Array,
    h0: Array,
    c0: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000, forget gate).

    c = f * c + i * g, h = o * tanh(c), where i, f, o are sigmoids and g is a tanh of
    weight_ih x + bias_ih + weight_hh h + bias_hh, stacked in the order i f g o. x (T, B, D),
    h0 and c0 (B, H), weights (4H, D) and (4H, H), biases (4H,): y (T, B, H), all h, and the last
    h and c.
    """
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0 = _fitted(
        "lstm", 4, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0, "c0": c0}
    )
    gates = linear(x, weight_ih, _sum(bias_ih, bias_hh))
    h, c, tanh_c = _buffers(len(x), (h0, c0), h0.shape[1])
    kernels.lstm_steps(gates, weight_hh.T, h, c, tanh_c)
    return (h[1:], h[-1].copy(), c[-1].copy()), (x, gates, h, c, tanh_c)


# ------------------------------------------------------------------------------------ GRU


def _gru_definition(x, h0, weight_ih, weight_hh, bias_ih, bias_hh):
    h, ys = h0, []
    for t in range(x.shape[0]):
        rx, zx, nx = split(linear(x[t], weight_ih, bias_ih), 3, axis=1)  # (B, H) each
        rh, zh, nh = split(linear(h, weight_hh, bias_hh), 3, axis=1)
        z, n = sigmoid(zx + zh), tanh(nx + sigmoid(rx + rh) * nh)
        h = (1 - z) * n + z * h
        ys.append(h)
    return stack(ys), h


def _gru_backward(g, saved, wanted, x, h0, weight_ih, weight_hh, bias_ih, bias_hh):
    (gy, gh), (x, gates, h, hidden_n) = g, saved
    gx, gh = array_module(gates).empty_like(gates), _start(gh, h[0])
    ghidden = array_module(gates).empty_like(gates)
    kernels.gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden)
    of_x, _, *others = wanted
    gx, *rest = _products(gx, ghidden, [of_x, *others], x, h[:-1], weight_ih)
    return (gx, gh, *rest)


@fused(_gru_definition, _gru_backward, prepare=floating, returns_new=True)
def gru(
    x: Array,
    h0: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
) -> tuple[Array, Array]:
    """Gated recurrent unit (Cho et al. 2014), in the variant of PyTorch and cuDNN.

    With [rx zx nx] = weight_ih x + bias_ih and [rh zh nh] = weight_hh h + bias_hh:
    r = sigmoid(rx + rh), z = sigmoid(zx + zh), n = tanh(nx + r * nh), h = (1 - z) * n + z * h.
    x (T, B, D), h0 (B, H), weights (3H, D) and (3H, H), biases (3H,): y (T, B, H), all h, and
    the last h.
    """
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0 = _fitted(
        "gru", 3, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0}
    )
    gates = linear(x, weight_ih, bias_ih)
    h, hidden_n = _buffers(len(x), (h0,), h0.shape[1])
    kernels.gru_steps(gates, weight_hh.T, bias_hh, h, hidden_n)
    return (h[1:], h[-1].copy()), (x, gates, h, hidden_n)


# ------------------------------------------------------------------------ the simple layer


def _rnn_definition(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity="tanh"):
    h, ys, activation = h0, [], {"tanh": tanh, "relu": relu}[nonlinearity]
    for t in range(x.shape[0]):
        h = activation(linear(x[t], weight_ih, bias_ih) + linear(h, weight_hh, bias_hh))
        ys.append(h)
    return stack(ys), h


def _rnn_backward(g, saved, wanted, x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity):
    (gy, gh), (x, h) = g, saved
    gz, gh = array_module(h).empty_like(h[1:]), _start(gh, h[0])
    for t in reversed(range(len(gz))):
        if gy is not None:
            gh += gy[t]
        y = h[t + 1]
        gz[t] = gh * (1 - y * y) if nonlinearity == "tanh" else where(y <= 0, 0.0, gh)
        gh = kernels.matmul(gz[t], weight_hh)  # (B, H) (H, H)
    of_x, _, *others = wanted
    gx, *rest = _products(gz, gz, [of_x, *others], x, h[:-1], weight_ih)
    return (gx, gh, *rest)


@fused(_rnn_definition, _rnn_backward, prepare=floating, returns_new=True)
def rnn(
    x: Array,
    h0: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
    *,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array]:
    """The simple recurrent layer (Elman 1990), with tanh or relu.

    h = tanh(weight_ih x + bias_ih + weight_hh h + bias_hh). x (T, B, D), h0 (B, H), weights
    (H, D) and (H, H), biases (H,): y (T, B, H), all h, and the last h.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0 = _fitted(
        "rnn", 1, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0}
    )
    z, w = linear(x, weight_ih, _sum(bias_ih, bias_hh)), weight_hh.T.copy()
    (h,) = _buffers(len(x), (h0,))
    activation = {"tanh": np.tanh, "relu": relu}[nonlinearity]
    for t in range(len(x)):
        h[t + 1] = activation(z[t] + kernels.matmul(h[t], w))
    return (h[1:], h[-1].copy()), (x, h)
