"""Recurrent layers over all steps: at each, a product with the state and `recurrent`'s arithmetic.

Shapes: T steps, B sequences, H units, K = 4 gates (LSTM) or 3 (GRU).
    gates   (T, B, K H)    start as the input's contributions to the gates, end activated
    h, c    (T + 1, B, H)  the states before each step and after the last; h[0], c[0] are inputs
    tanh_c, hidden_n  (T, B, H)  saved for the backward pass: see `recurrent`
    w       (H, K H)       weight_hh (K H, H), transposed
    gy      (T, B, H)      the cotangent of h[1:], or None
    gh, gc  (B, H)         start as the cotangents of h[T] and c[T] as last states, end as those of
                           h[0] and c[0]
The VJPs are backpropagation through time (Werbos 1990): at step t = T - 1, ..., 0,
    gh <- gh + gy[t];  the VJP of the step;  gh <- the cotangent of h[t].
"""

from minigen.kernels.reference.recurrent import gru_step, gru_step_vjp, lstm_step, lstm_step_vjp


def lstm_steps(gates, w, h, c, tanh_c):
    """`lstm_step` for t = 0, ..., T - 1, with hidden = h[t] w, (B, H) (H, 4H).

    gates (T, B, 4H), w (H, 4H), h and c (T + 1, B, H), tanh_c (T, B, H). Writes all but w; returns
    h.
    """
    for t in range(len(gates)):
        lstm_step(gates[t], h[t] @ w, c[t], c[t + 1], tanh_c[t], h[t + 1])
    return h


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    """The VJP of `lstm_steps` in the gates before activation, h[0] and c[0].

        gz[t], gc = lstm_step_vjp(gh + gy[t], gc);  gh = gz[t] weight_hh    (B, 4H) (4H, H)

    gh, gc (B, H), gy (T, B, H) or None, gates (T, B, 4H) activated, c (T + 1, B, H),
    tanh_c (T, B, H), weight_hh (4H, H). Writes gz (T, B, 4H), gh and gc; returns gz.
    """
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        lstm_step_vjp(gh, gc, gates[t], c[t], tanh_c[t], gz[t])
        gh[...] = gz[t] @ weight_hh  # (B, 4H) (4H, H)
    return gz


def gru_steps(gates, w, bias_hh, h, hidden_n):
    """`gru_step` for t = 0, ..., T - 1, with hidden = h[t] w + bias_hh, (B, H) (H, 3H).

    gates (T, B, 3H), w (H, 3H), bias_hh (3H,) or None, h (T + 1, B, H), hidden_n (T, B, H). Writes
    gates, h and hidden_n; returns h.
    """
    for t in range(len(gates)):
        hidden = h[t] @ w
        if bias_hh is not None:
            hidden += bias_hh
        gru_step(gates[t], hidden, h[t], hidden_n[t], h[t + 1])
    return h


def gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden):
    """The VJP of `gru_steps` in the contributions of input (gx) and state (ghidden), and in h[0].

        gx[t], ghidden[t], past = gru_step_vjp(gh + gy[t])
        gh = past + ghidden[t] weight_hh    (B, 3H) (3H, H)

    gh (B, H), gy (T, B, H) or None, gates (T, B, 3H) activated, h (T + 1, B, H),
    hidden_n (T, B, H), weight_hh (3H, H). Writes gx and ghidden (T, B, 3H), and gh; returns gx.
    """
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        gru_step_vjp(gh, gates[t], h[t], hidden_n[t], gx[t], ghidden[t])
        gh += ghidden[t] @ weight_hh  # (B, 3H) (3H, H)
    return gx
