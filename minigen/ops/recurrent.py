"""Recurrent layers: one layer, in one direction, over a whole sequence.

Each op has a definition step by step, as papers write it. Its forward computes the input's
contribution to the gates, weight_ih x + bias_ih, for all steps in one product. The loop over steps,
a kernel, is left with one product with the state and the arithmetic of a step. The backward pass is
that loop in reverse (backpropagation through time, Werbos 1990), and then one product over all
steps for each weight.

Shapes: T steps, B sequences, D inputs, H units; K gates, stacked along the rows of weight_ih
(K H, D) and weight_hh (K H, H). `lengths`, B numbers of steps, are those of sequences that were
padded: y is 0 from there on, and a sequence's last states are those at its own end.
"""

from collections.abc import Sequence

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import floating
from minigen.ops.activations import relu, sigmoid
from minigen.ops.elementwise import tanh, where
from minigen.ops.joining import split, stack
from minigen.ops.linalg import linear
from minigen.ops.sequences import (
    buffers,
    checked_arrays,
    copy_or_zeros,
    cotangents_at_ends,
    input_and_weight_cotangents,
    last,
    sum_of_biases,
    valid_steps,
    zero_padded,
)

SATURATED = 1e9  # sigmoid(SATURATED) is 1, sigmoid(-SATURATED) 0


def _if_valid(valid, t, new, old):
    """new where step t is not padding, old elsewhere; valid (T, B, 1) or None."""
    return new if valid is None else where(valid[t], new, old)


# ----------------------------------------------------------------------------------- LSTM


def _lstm_definition(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, lengths=None):
    """`lstm`, step by step."""
    valid = valid_steps("lstm", lengths, x)
    h, c, ys, x = h0, c0, [], zero_padded(x, valid)
    for t in range(x.shape[0]):
        z = linear(x[t], weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)  # (B, 4H)
        i, f, g, o = split(z, 4, axis=1)
        next_c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        next_h = sigmoid(o) * tanh(next_c)
        c, h = _if_valid(valid, t, next_c, c), _if_valid(valid, t, next_h, h)
        ys.append(_if_valid(valid, t, h, 0.0))
    return stack(ys), h, c


def _lstm_backward(
    g, saved, wanted, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, lengths=None
):
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
    of h, so gz is the cotangent of both: see `input_and_weight_cotangents`.
    """
    (gy, gh, gc), (x, gates, h, c, tanh_c, valid) = g, saved
    gy, gh = cotangents_at_ends(gy, gh, valid, h)
    gz = array_module(gates).empty_like(gates)
    gh, gc = copy_or_zeros(gh, h[0]), copy_or_zeros(gc, c[0])
    kernels.lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz)
    x_wanted, _, _, *others = wanted
    gx, *rest = input_and_weight_cotangents(gz, gz, [x_wanted, *others], x, h[:-1], weight_ih)
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
    *,
    lengths: Sequence[int] | Array | None = None,
) -> tuple[Array, Array, Array]:
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000, forget gate).

    c = f * c + i * g, h = o * tanh(c), where i, f, o are sigmoids and g is a tanh of the blocks, in
    the order i f g o, of weight_ih x + bias_ih + weight_hh h + bias_hh. x (T, B, D), h0 and c0
    (B, H), weight_ih (4H, D), weight_hh (4H, H), biases (4H,). Returns y (T, B, H), which is h
    after each step, and the last h and c (B, H). lengths: of each sequence, if some are padded.
    """
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0 = checked_arrays(
        "lstm", 4, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0, "c0": c0}
    )
    valid = valid_steps("lstm", lengths, x)
    x = zero_padded(x, valid)
    gates = linear(x, weight_ih, sum_of_biases(bias_ih, bias_hh))
    if valid is not None:  # in padding i = 0 and f = 1, so that c, and backward gc, stay
        hold = np.repeat([-SATURATED, SATURATED, 0.0, 0.0], h0.shape[1]).astype(x.dtype)
        gates = where(valid, gates, array_module(x).asarray(hold))
    h, c, tanh_c = buffers(len(x), (h0, c0), h0.shape[1])
    kernels.lstm_steps(gates, weight_hh.T, h, c, tanh_c)
    y = zero_padded(h[1:], valid)
    return (y, last(h, valid), last(c, valid)), (x, gates, h, c, tanh_c, valid)


# ------------------------------------------------------------------------------------ GRU


def _gru_definition(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths=None):
    """`gru`, step by step."""
    valid = valid_steps("gru", lengths, x)
    h, ys, x = h0, [], zero_padded(x, valid)
    for t in range(x.shape[0]):
        rx, zx, nx = split(linear(x[t], weight_ih, bias_ih), 3, axis=1)  # (B, H) each
        rh, zh, nh = split(linear(h, weight_hh, bias_hh), 3, axis=1)
        z, n = sigmoid(zx + zh), tanh(nx + sigmoid(rx + rh) * nh)
        h = _if_valid(valid, t, (1 - z) * n + z * h, h)
        ys.append(_if_valid(valid, t, h, 0.0))
    return stack(ys), h


def _gru_backward(g, saved, wanted, x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths=None):
    """For t = T - 1, ..., 0, with h before and h' after step t, a = weight_ih x + bias_ih and
    b = weight_hh h + bias_hh, both (B, 3H) in blocks r z n:

        gh'  = gy[t] + gh                               (B, H); gh comes from step t + 1
        ga_n = gh' * (1 - z) * (1 - n^2)                from h' = (1 - z) * n + z * h
        ga_z = gh' * (h - n) * z * (1 - z)
        ga_r = ga_n * b_n * r * (1 - r)                 from n = tanh(a_n + r * b_n)
        gb   = [ga_r  ga_z  ga_n * r]                   (B, 3H); r multiplies b_n only
        gh   = gh' * z + gb weight_hh                   (B, H) + (B, 3H) (3H, H)

    The last gh is the cotangent of h0. For x, weights and biases see
    `input_and_weight_cotangents`.
    """
    (gy, gh), (x, gates, h, hidden_n, valid) = g, saved
    gy, gh = cotangents_at_ends(gy, gh, valid, h)
    ga, gh = array_module(gates).empty_like(gates), copy_or_zeros(gh, h[0])
    gb = array_module(gates).empty_like(gates)
    kernels.gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, ga, gb)
    x_wanted, _, *others = wanted
    gx, *rest = input_and_weight_cotangents(ga, gb, [x_wanted, *others], x, h[:-1], weight_ih)
    return (gx, gh, *rest)


@fused(_gru_definition, _gru_backward, prepare=floating, returns_new=True)
def gru(
    x: Array,
    h0: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
    *,
    lengths: Sequence[int] | Array | None = None,
) -> tuple[Array, Array]:
    """Gated recurrent unit (Cho et al. 2014), with the reset gate of PyTorch and cuDNN.

    With [rx zx nx] = weight_ih x + bias_ih and [rh zh nh] = weight_hh h + bias_hh:
    r = sigmoid(rx + rh), z = sigmoid(zx + zh), n = tanh(nx + r * nh), h = (1 - z) * n + z * h.
    (In the paper, r multiplies h, before the product.) x (T, B, D), h0 (B, H), weight_ih (3H, D),
    weight_hh (3H, H), biases (3H,). Returns y (T, B, H), h after each step, and the last h (B, H).
    lengths: of each sequence, if some are padded.
    """
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0 = checked_arrays(
        "gru", 3, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0}
    )
    valid = valid_steps("gru", lengths, x)
    x = zero_padded(x, valid)
    gates = linear(x, weight_ih, bias_ih)
    h, hidden_n = buffers(len(x), (h0,), h0.shape[1])
    kernels.gru_steps(gates, weight_hh.T, bias_hh, h, hidden_n)
    return (zero_padded(h[1:], valid), last(h, valid)), (x, gates, h, hidden_n, valid)


# ---------------------------------------------------------------- simple recurrent layer


def _rnn_definition(
    x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity="tanh", lengths=None
):
    """`rnn`, step by step."""
    valid, activation = valid_steps("rnn", lengths, x), {"tanh": tanh, "relu": relu}[nonlinearity]
    h, ys, x = h0, [], zero_padded(x, valid)
    for t in range(x.shape[0]):
        next_h = activation(linear(x[t], weight_ih, bias_ih) + linear(h, weight_hh, bias_hh))
        h = _if_valid(valid, t, next_h, h)
        ys.append(_if_valid(valid, t, h, 0.0))
    return stack(ys), h


def _rnn_backward(
    g, saved, wanted, x, h0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity, lengths=None
):
    """For t = T - 1, ..., 0, with h' = h[t + 1] and z the argument of the nonlinearity:

    gh' = gy[t] + gh                                          (B, H)
    gz  = gh' * (1 - h'^2) for tanh; gh', but 0 where h' <= 0, for relu
    gh  = gz weight_hh                                        (B, H) (H, H)
    """
    (gy, gh), (x, h, valid) = g, saved
    gy, gh = cotangents_at_ends(gy, gh, valid, h)
    gz, gh = array_module(h).empty_like(h[1:]), copy_or_zeros(gh, h[0])
    for t in reversed(range(len(gz))):
        if gy is not None:
            gh += gy[t]
        y = h[t + 1]
        gz[t] = gh * (1 - y * y) if nonlinearity == "tanh" else where(y <= 0, 0.0, gh)
        gh = kernels.matmul(gz[t], weight_hh)  # (B, H) (H, H)
    x_wanted, _, *others = wanted
    gx, *rest = input_and_weight_cotangents(gz, gz, [x_wanted, *others], x, h[:-1], weight_ih)
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
    lengths: Sequence[int] | Array | None = None,
) -> tuple[Array, Array]:
    """The simple recurrent layer (Elman 1990), with nonlinearity "tanh" or "relu".

    h = tanh(weight_ih x + bias_ih + weight_hh h + bias_hh). x (T, B, D), h0 (B, H),
    weight_ih (H, D), weight_hh (H, H), biases (H,). Returns y (T, B, H), h after each step, and the
    last h (B, H). lengths: of each sequence, if some are padded.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    x, weight_ih, weight_hh, bias_ih, bias_hh, h0 = checked_arrays(
        "rnn", 1, x, weight_ih, weight_hh, (bias_ih, bias_hh), {"h0": h0}
    )
    valid = valid_steps("rnn", lengths, x)
    x = zero_padded(x, valid)
    z, w = linear(x, weight_ih, sum_of_biases(bias_ih, bias_hh)), weight_hh.T.copy()
    (h,) = buffers(len(x), (h0,))
    activation = {"tanh": np.tanh, "relu": relu}[nonlinearity]
    for t in range(len(x)):
        h[t + 1] = activation(z[t] + kernels.matmul(h[t], w))
        if valid is not None:
            h[t + 1] = where(valid[t], h[t + 1], h[t])
    return (zero_padded(h[1:], valid), last(h, valid)), (x, h, valid)
