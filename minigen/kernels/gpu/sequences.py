"""Recurrent layers over all steps: for each a product into a buffer, and one launch."""

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense
from minigen.kernels.gpu.products import multiply
from minigen.kernels.gpu.recurrent import launch_step, taken
from minigen.kernels.reference import sequences as reference


def lstm_steps(gates, w, h, c, tanh_c):
    if not (taken(gates, h, c, tanh_c) and w.dtype == gates.dtype):
        return reference.lstm_steps(gates, w, h, c, tanh_c)
    hidden = array_module(gates).empty(gates.shape[1:], gates.dtype)
    for t in range(len(gates)):
        multiply(h[t], w, hidden)
        launch_step("lstm_step", c[t], gates[t], hidden, c[t], c[t + 1], tanh_c[t], h[t + 1])
    return h


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    gy = dense(gy)
    if not (taken(gh, gc, gy, gates, c, tanh_c, gz) and weight_hh.dtype == gates.dtype):
        return reference.lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz)
    for t in reversed(range(len(gates))):
        past = _at(gy, t), gc, gates[t], c[t], tanh_c[t]
        launch_step("lstm_step_vjp", gc, gh, *past, gz[t])
        multiply(gz[t], weight_hh, gh)
    return gz


def gru_steps(gates, w, bias_hh, h, hidden_n):
    bias_hh = dense(bias_hh)
    if not (taken(gates, bias_hh, h, hidden_n) and w.dtype == gates.dtype):
        return reference.gru_steps(gates, w, bias_hh, h, hidden_n)
    hidden = array_module(gates).empty(gates.shape[1:], gates.dtype)
    for t in range(len(gates)):
        multiply(h[t], w, hidden)
        launch_step("gru_step", h[t], gates[t], hidden, bias_hh, h[t], hidden_n[t], h[t + 1])
    return h


def gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden):
    gy = dense(gy)
    if not (taken(gh, gy, gates, h, hidden_n, gx, ghidden) and weight_hh.dtype == gates.dtype):
        return reference.gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden)
    for t in reversed(range(len(gates))):
        past = _at(gy, t), gates[t], h[t], hidden_n[t]
        launch_step("gru_step_vjp", gh, gh, *past, gx[t], ghidden[t])
        multiply(ghidden[t], weight_hh, gh, accumulate=True)
    return gx


def _at(x, t):
    return None if x is None else x[t]
