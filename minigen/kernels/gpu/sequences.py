"""Recurrent layers over all steps: for each step a matrix product into a buffer, and one launch."""

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense
from minigen.kernels.gpu.products import multiply
from minigen.kernels.gpu.recurrent import can_take, launch_step
from minigen.kernels.reference import sequences as reference


def lstm_steps(gates, w, h, c, tanh_c):
    """`reference.lstm_steps`, without an allocation in a step."""
    if not (can_take(gates, h, c, tanh_c) and w.dtype == gates.dtype):
        return reference.lstm_steps(gates, w, h, c, tanh_c)
    hidden = array_module(gates).empty(gates.shape[1:], gates.dtype)
    for t in range(len(gates)):
        multiply(h[t], w, hidden)
        launch_step("lstm_step", c[t], gates[t], hidden, c[t], c[t + 1], tanh_c[t], h[t + 1])
    return h


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    """`reference.lstm_steps_vjp`, without an allocation in a step."""
    gy = dense(gy)
    if not (can_take(gh, gc, gy, gates, c, tanh_c, gz) and weight_hh.dtype == gates.dtype):
        return reference.lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz)
    for t in reversed(range(len(gates))):
        saved = gates[t], c[t], tanh_c[t]
        launch_step("lstm_step_vjp", gc, gh, _at_step(gy, t), gc, *saved, gz[t])
        multiply(gz[t], weight_hh, gh)
    return gz


def gru_steps(gates, w, bias_hh, h, hidden_n):
    """`reference.gru_steps`, without an allocation in a step."""
    bias_hh = dense(bias_hh)
    if not (can_take(gates, bias_hh, h, hidden_n) and w.dtype == gates.dtype):
        return reference.gru_steps(gates, w, bias_hh, h, hidden_n)
    hidden = array_module(gates).empty(gates.shape[1:], gates.dtype)
    for t in range(len(gates)):
        multiply(h[t], w, hidden)
        launch_step("gru_step", h[t], gates[t], hidden, bias_hh, h[t], hidden_n[t], h[t + 1])
    return h


def gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden):
    """`reference.gru_steps_vjp`, without an allocation in a step."""
    gy = dense(gy)
    if not (can_take(gh, gy, gates, h, hidden_n, gx, ghidden) and weight_hh.dtype == gates.dtype):
        return reference.gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden)
    for t in reversed(range(len(gates))):
        saved = gates[t], h[t], hidden_n[t]
        launch_step("gru_step_vjp", gh, gh, _at_step(gy, t), *saved, gx[t], ghidden[t])
        multiply(ghidden[t], weight_hh, gh, accumulate=True)
    return gx


def _at_step(x, t):
    """x[t], or None if x is None."""
    return None if x is None else x[t]
