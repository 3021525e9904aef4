"""Recurrent layers: one layer, in one direction, over a whole sequence.

Each op has a definition step by step, as papers write it. Its forward computes the input's
contribution to the gates, weight_ih x + bias_ih, for all steps in one product. The loop over steps,
a kernel, is left with one product with the state and the arithmetic of a step. The backward pass is
that loop in reverse (backpropagation through time, Werbos 1990), and then one product over all
steps for each weight.

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


def _checked_arrays(name, gates, x, weight_ih, weight_hh, biases, states):
    """x, the weights, the biases and the states in one dtype; ShapeError if a shape does not fit.

    gates: K; biases: (bias_ih, bias_hh), which may be None; states: a dict of names and (B, H)
    arrays. x is returned in C order: the backward pass reads it too, and need not copy it again.
    """
    if x.ndim != 3 or x.shape[0] == 0:
        raise ShapeError(f"{name}: x must be (T, B, D) with at least one step, got {x.shape}")
    if weight_hh.ndim != 2:
        raise ShapeError(f"{name}: weight_hh must be ({gates} H, H), got {weight_hh.shape}")
    (_, B, D), H = x.shape, weight_hh.shape[1]
    rows = gates * H
    expected = {
        "weight_ih": (weight_ih, (rows, D)),
        "weight_hh": (weight_hh, (rows, H)),
        **{key: (b, (rows,)) for key, b in zip(("bias_ih", "bias_hh"), biases)},
        **{key: (s, (B, H)) for key, s in states.items()},
    }
    for key, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise ShapeError(
                f"{name}: {key} {array.shape} must be {shape} for x {x.shape}, "
                f"(T, B, D), and weight_hh {weight_hh.shape}, ({gates} H, H)"
            )
    arrays = [array_module(x).ascontiguousarray(x), *(array for array, _ in expected.values())]
    dtype = np.result_type(*(a.dtype for a in arrays if a is not None))
    return [a if a is None or a.dtype == dtype else a.astype(dtype) for a in arrays]


def _buffers(steps, first_states, *widths):
    """Arrays (T + 1, B, H) that start with each of first_states (B, H); then (T, B, width) each.

    steps is T. All other elements are uninitialized.
    """
    B, H = first_states[0].shape
    xp, dtype = array_module(first_states[0]), first_states[0].dtype
    states = [xp.empty((steps + 1, B, H), dtype) for _ in first_states]
    for state, first in zip(states, first_states):
        state[0] = first
    return [*states, *(xp.empty((steps, B, width), dtype) for width in widths)]


def _copy_or_zeros(g, like):
    """A new array for the backward loop to write to: a copy of g, or zeros if g is None."""
    return array_module(like).zeros(like.shape, like.dtype) if g is None else g.copy()


def _sum_of_biases(bias_ih, bias_hh):
    """bias_ih + bias_hh (K H,), where None is 0; None if both are."""
    if bias_ih is None or bias_hh is None:
        return bias_hh if bias_ih is None else bias_ih
    return bias_ih + bias_hh


def _input_and_weight_cotangents(ga, gb, wanted, x, h, weight_ih):
    """Cotangents of x, weight_ih, weight_hh, bias_ih and bias_hh; None where wanted[i] is false.

    ga and gb (T, B, K H) are those of a[t] = weight_ih x[t] + bias_ih and
    b[t] = weight_hh h[t] + bias_hh; h (T, B, H) are the states before each step.
        gx[t]      = ga[t] weight_ih                          (T, B, D)
        gweight_ih = sum over t of ga[t]^T x[t]               (K H, D)
        gweight_hh = sum over t of gb[t]^T h[t]               (K H, H)
        gbias_ih, gbias_hh = sums over t and B of ga, of gb   (K H,)
    All T B rows are multiplied at once, so that the products sum over t.
    """
    a_rows, b_rows = rows_of(ga), rows_of(gb)  # (T B, K H)
    x_wanted, ih_wanted, hh_wanted, bias_ih_wanted, bias_hh_wanted = wanted
    wanted = x_wanted, ih_wanted, bias_ih_wanted
    gx, gweight_ih, gbias_ih = kernels.linear_vjp(a_rows, rows_of(x), weight_ih, wanted, False)
    if ga is gb and bias_ih_wanted and bias_hh_wanted:
        gbias_hh = gbias_ih.copy()
    else:
        gbias_hh = kernels.sum_rows(b_rows) if bias_hh_wanted else None
    return (
        gx.reshape(x.shape) if x_wanted else None,
        gweight_ih,
        kernels.matmul(b_rows.T, rows_of(h)) if hh_wanted else None,
        gbias_ih,
        gbias_hh,
    )


# ----------------------------------------------------------------------------------- LSTM


def _lstm_definition(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh):
    """`lstm`, step by step."""
    h, c, ys = h0, c0, []
    for t in range(x.shape[0]):
        z = linear(x[t], weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)  # (B, 4H)
        i, f, g, o = split(z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        ys.append(h)
    return stack(ys), h, c


def _lstm_backward(g, saved, wanted, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh):
    """For t = T - 1, ..., 0, with c, h before and c', h' after step t, and z (B, 4H) the sum of
    weight_ih x + bias_ih + weight_hh h + bias_hh, of which i f g o are the activations:

        gh' = gy[t] + gh                                (B, H); gh, gc come from step t + 1
        gc' = gc + gh' * o * (1 - tanh(c')^2)           from h' = o * tanh(c')
        gz  = [ gc' * g * i * (1 - i)                   (B, 4H); from c' = f * c + i * g
                gc' * c * f * (1 - f)
                gc' * i * (1 - g^2)
                gh' * tanh(c') * o * (1 - o) ]
        gc  = gc' * f,  gh = gz weight_hh               (B, H), (B, 4H) (4H, H)

    The last gh and gc are the cotangents of h0 and c0. z is the sum of the contributions of x and
    of h, so gz is the cotangent of both: see `_input_and_weight_cotangents`.
    """
    (gy, gh, gc), (x, gates, h, c, tanh_c) = g, saved
    gz = array_module(gates).empty_like(gates)
    gh, gc = _copy_or_zeros(gh, h[0]), _copy_or_zeros(gc, c[0])
    kernels.lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz)
    x_wanted, _, _, *others = wanted
    gx, *rest = _input_and_weight_cotangents(gz, gz, [x_wanted, *others], x, h[:-1], weight_ih)
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

    c = f * c + i * g, h = o * tanh(c), where i, f, o are sigmoids and g is a tanh of the blocks, in
    the order i f g o, of weight_ih x + bias_ih + weight_hh h + bias_hh. x (T, B, D), h0 and c0
    (B, H), weight_ih (4H, D), weight_hh (4H, H), biases (4H,). Returns y (T, B, H), which is h
    after each step, and the last h and c (B, H).
    """
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0 = _checked_arrays(
        "lstm", 4, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0, "c0": c0}
    )
    gates = linear(x, weight_ih, _sum_of_biases(bias_ih, bias_hh))
    h, c, tanh_c = _buffers(len(x), (h0, c0), h0.shape[1])
    kernels.lstm_steps(gates, weight_hh.T, h, c, tanh_c)
    return (h[1:], h[-1].copy(), c[-1].copy()), (x, gates, h, c, tanh_c)


# ------------------------------------------------------------------------------------ GRU


def _gru_definition(x, h0, weight_ih, weight_hh, bias_ih, bias_hh):
    """`gru`, step by step."""
    h, ys = h0, []
    for t in range(x.shape[0]):
        rx, zx, nx = split(linear(x[t], weight_ih, bias_ih), 3, axis=1)  # (B, H) each
        rh, zh, nh = split(linear(h, weight_hh, bias_hh), 3, axis=1)
        z, n = sigmoid(zx + zh), tanh(nx + sigmoid(rx + rh) * nh)
        h = (1 - z) * n + z * h
        ys.append(h)
    return stack(ys), h


def _gru_backward(g, saved, wanted, x, h0, weight_ih, weight_hh, bias_ih, bias_hh):
    """For t = T - 1, ..., 0, with h before and h' after step t, a = weight_ih x + bias_ih and
    b = weight_hh h + bias_hh, both (B, 3H) in blocks r z n:

        gh'  = gy[t] + gh                               (B, H); gh comes from step t + 1
        ga_n = gh' * (1 - z) * (1 - n^2)                from h' = (1 - z) * n + z * h
        ga_z = gh' * (h - n) * z * (1 - z)
        ga_r = ga_n * b_n * r * (1 - r)                 from n = tanh(a_n + r * b_n)
        gb   = [ga_r  ga_z  ga_n * r]                   (B, 3H); r multiplies b_n only
        gh   = gh' * z + gb weight_hh                   (B, H) + (B, 3H) (3H, H)

    The last gh is the cotangent of h0. For x, weights and biases see
    `_input_and_weight_cotangents`.
    """
    (gy, gh), (x, gates, h, hidden_n) = g, saved
    ga, gh = array_module(gates).empty_like(gates), _copy_or_zeros(gh, h[0])
    gb = array_module(gates).empty_like(gates)
    kernels.gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, ga, gb)
    x_wanted, _, *others = wanted
    gx, *rest = _input_and_weight_cotangents(ga, gb, [x_wanted, *others], x, h[:-1], weight_ih)
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
    """Gated recurrent unit (Cho et al. 2014), with the reset gate of PyTorch and cuDNN.

    With [rx zx nx] = weight_ih x + bias_ih and [rh zh nh] = weight_hh h + bias_hh:
    r = sigmoid(rx + rh), z = sigmoid(zx + zh), n = tanh(nx + r * nh), h = (1 - z) * n + z * h.
    (In the paper, r multiplies h, before the product.) x (T, B, D), h0 (B, H), weight_ih (3H, D),
    weight_hh (3H, H), biases (3H,). Returns y (T, B, H), h after each step, and the last h (B, H).
    """
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0 = _checked_arrays(
        "gru", 3, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0}
    )
    gates = linear(x, weight_ih, bias_ih)
    h, hidden_n = _buffers(len(x), (h0,), h0.shape[1])
    kernels.gru_steps(gates, weight_hh.T, bias_hh, h, hidden_n)
    return (h[1:], h[-1].copy()), (x, gates, h, hidden_n)


# ---------------------------------------------------------------- simple recurrent layer


def _rnn_definition(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity="tanh"):
    """`rnn`, step by step."""
    h, ys, activation = h0, [], {"tanh": tanh, "relu": relu}[nonlinearity]
    for t in range(x.shape[0]):
        h = activation(linear(x[t], weight_ih, bias_ih) + linear(h, weight_hh, bias_hh))
        ys.append(h)
    return stack(ys), h


def _rnn_backward(g, saved, wanted, x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity):
    """For t = T - 1, ..., 0, with h' = h[t + 1] and z the argument of the nonlinearity:

    gh' = gy[t] + gh                                          (B, H)
    gz  = gh' * (1 - h'^2) for tanh; gh', but 0 where h' <= 0, for relu
    gh  = gz weight_hh                                        (B, H) (H, H)
    """
    (gy, gh), (x, h) = g, saved
    gz, gh = array_module(h).empty_like(h[1:]), _copy_or_zeros(gh, h[0])
    for t in reversed(range(len(gz))):
        if gy is not None:
            gh += gy[t]
        y = h[t + 1]
        gz[t] = gh * (1 - y * y) if nonlinearity == "tanh" else where(y <= 0, 0.0, gh)
        gh = kernels.matmul(gz[t], weight_hh)  # (B, H) (H, H)
    x_wanted, _, *others = wanted
    gx, *rest = _input_and_weight_cotangents(gz, gz, [x_wanted, *others], x, h[:-1], weight_ih)
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
    """The simple recurrent layer (Elman 1990), with nonlinearity "tanh" or "relu".

    h = tanh(weight_ih x + bias_ih + weight_hh h + bias_hh). x (T, B, D), h0 (B, H),
    weight_ih (H, D), weight_hh (H, H), biases (H,). Returns y (T, B, H), h after each step, and the
    last h (B, H).
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0 = _checked_arrays(
        "rnn", 1, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0}
    )
    z, w = linear(x, weight_ih, _sum_of_biases(bias_ih, bias_hh)), weight_hh.T.copy()
    (h,) = _buffers(len(x), (h0,))
    activation = {"tanh": np.tanh, "relu": relu}[nonlinearity]
    for t in range(len(x)):
        h[t + 1] = activation(z[t] + kernels.matmul(h[t], w))
    return (h[1:], h[-1].copy()), (x, h)
