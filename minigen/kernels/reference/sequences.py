"""Recurrent layers over all steps: a product with the state, and the arithmetic of a step.

Time comes first: gates (T, B, K H) hold the part that x contributed and leave activated, h and c
(T + 1, B, H) hold the states before each step and start with the one that is given. Backwards,
gy (T, B, H), or None, is the cotangent of all h but the first, and gh that of the last, into
which that of the first is written. w is weight_hh.T.
"""

from minigen.kernels.reference.recurrent import gru_step, gru_step_vjp, lstm_step, lstm_step_vjp


def lstm_steps(gates, w, h, c, tanh_c):
    """Writes gates, h, c and tanh_c (T, B, H)."""
    for t in range(len(gates)):
        lstm_step(gates[t], h[t] @ w, c[t], c[t + 1], tanh_c[t], h[t + 1])
    return h


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    """Writes gz, the cotangent of the gates before activation, gh and gc."""
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        lstm_step_vjp(gh, gc, gates[t], c[t], tanh_c[t], gz[t])
        gh[...] = gz[t] @ weight_hh  # (B, 4H) (4H, H)
    return gz


def gru_steps(gates, w, bias_hh, h, hidden_n):
    """Writes gates, h and hidden_n (T, B, H)."""
    for t in range(len(gates)):
        hidden = h[t] @ w
        if bias_hh is not None:
            hidden += bias_hh
        gru_step(gates[t], hidden, h[t], hidden_n[t], h[t + 1])
    return h


def gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden):
    """Writes gx and ghidden, the cotangents of what x and what the state contributed, and gh."""
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        gru_step_vjp(gh, gates[t], h[t], hidden_n[t], gx[t], ghidden[t])
        gh += ghidden[t] @ weight_hh  # (B, 3H) (3H, H)
    return gx
