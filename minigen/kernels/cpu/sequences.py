"""Recurrent layers over all steps, with the sequences of a batch divided among the threads.

The sequences of a batch are independent of each other. So each task runs a part of the batch
through all steps, and threads need not wait for each other at every step.
"""

from minigen.kernels.cpu.packed_weights import PackedWeights
from minigen.kernels.cpu.products import FLOPS_PER_NS
from minigen.kernels.cpu.recurrent import gru_step, gru_step_vjp, lstm_step, lstm_step_vjp
from minigen.parallel import pool
from minigen.parallel.pieces import shares

MIN_SEQUENCES = 32  # of a task
NS_PER_GATE = 2  # about, for the elementwise arithmetic of a value of the gates


def batch_slices(gates, w):
    """Slices of the batch B, one for each task, for gates (T, B, K H) and w with K H * H values."""
    steps, batch, _ = gates.shape
    product = steps * batch * w.size * (2 / FLOPS_PER_NS)
    return shares(batch, product + gates.size * NS_PER_GATE, MIN_SEQUENCES)


def lstm_steps(gates, w, h, c, tanh_c):
    """`reference.lstm_steps`, in tasks of sequences."""
    w = PackedWeights(w)
    tasks = [(gates[:, s], w, h[:, s], c[:, s], tanh_c[:, s]) for s in batch_slices(gates, w.w)]
    pool.run(_lstm_steps, tasks)
    return h


def _lstm_steps(gates, w, h, c, tanh_c):
    """`reference.lstm_steps` for the sequences of a task, with PackedWeights w."""
    product = w.product(h.shape[1], h.dtype)
    for t in range(len(gates)):
        lstm_step(gates[t], product(h[t]), c[t], c[t + 1], tanh_c[t], h[t + 1])


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    """`reference.lstm_steps_vjp`, in tasks of sequences."""
    w = PackedWeights(weight_hh)
    tasks = [
        (gh[s], gc[s], _sequences(gy, s), gates[:, s], c[:, s], tanh_c[:, s], w, gz[:, s])
        for s in batch_slices(gates, weight_hh)
    ]
    pool.run(_lstm_steps_vjp, tasks)
    return gz


def _lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, w, gz):
    """`reference.lstm_steps_vjp` for the sequences of a task, with PackedWeights w."""
    product = w.product(len(gh), gz.dtype)
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        lstm_step_vjp(gh, gc, gates[t], c[t], tanh_c[t], gz[t])
        gh[...] = product(gz[t])


def gru_steps(gates, w, bias_hh, h, hidden_n):
    """`reference.gru_steps`, in tasks of sequences."""
    w = PackedWeights(w)
    tasks = [(gates[:, s], w, bias_hh, h[:, s], hidden_n[:, s]) for s in batch_slices(gates, w.w)]
    pool.run(_gru_steps, tasks)
    return h


def _gru_steps(gates, w, bias_hh, h, hidden_n):
    """`reference.gru_steps` for the sequences of a task, with PackedWeights w."""
    product = w.product(h.shape[1], h.dtype)
    for t in range(len(gates)):
        hidden = product(h[t])
        if bias_hh is not None:
            hidden += bias_hh
        gru_step(gates[t], hidden, h[t], hidden_n[t], h[t + 1])


def gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden):
    """`reference.gru_steps_vjp`, in tasks of sequences."""
    w = PackedWeights(weight_hh)
    tasks = [
        (gh[s], _sequences(gy, s), gates[:, s], h[:, s], hidden_n[:, s], w, gx[:, s], ghidden[:, s])
        for s in batch_slices(gates, weight_hh)
    ]
    pool.run(_gru_steps_vjp, tasks)
    return gx


def _gru_steps_vjp(gh, gy, gates, h, hidden_n, w, gx, ghidden):
    """`reference.gru_steps_vjp` for the sequences of a task, with PackedWeights w."""
    product = w.product(len(gh), ghidden.dtype)
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        gru_step_vjp(gh, gates[t], h[t], hidden_n[t], gx[t], ghidden[t])
        gh += product(ghidden[t])


def _sequences(gy, s):
    """The sequences of gy (T, B, H) in slice s; None if gy is None."""
    return None if gy is None else gy[:, s]
