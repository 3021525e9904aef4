"""Recurrent layers over all steps, the sequences of a batch dealt out to the threads.

Sequences do not know each other, so a thread takes its share of them through all steps, without
waiting for the others at each.
"""

from minigen.kernels.cpu.packed_weights import Weights
from minigen.kernels.cpu.products import FLOPS
from minigen.kernels.cpu.recurrent import gru_step, gru_step_vjp, lstm_step, lstm_step_vjp
from minigen.parallel import pool
from minigen.parallel.pieces import shares

LEAST = 32  # sequences of a piece
NANOSECONDS = 2  # for the arithmetic of a gate, about


def shares_of_batch(gates, w):
    """Slices of the batch, for the pieces."""
    steps, batch, _ = gates.shape
    return shares(batch, steps * batch * w.size * (2 / FLOPS) + gates.size * NANOSECONDS, LEAST)


def lstm_steps(gates, w, h, c, tanh_c):
    w = Weights(w)
    pieces = [(gates[:, s], w, h[:, s], c[:, s], tanh_c[:, s]) for s in shares_of_batch(gates, w.w)]
    pool.run(_lstm_steps, pieces)
    return h


def _lstm_steps(gates, w, h, c, tanh_c):
    product = w.product(h.shape[1], h.dtype)
    for t in range(len(gates)):
        lstm_step(gates[t], product(h[t]), c[t], c[t + 1], tanh_c[t], h[t + 1])


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    w = Weights(weight_hh)
    pieces = [
        (gh[s], gc[s], _share(gy, s), gates[:, s], c[:, s], tanh_c[:, s], w, gz[:, s])
        for s in shares_of_batch(gates, weight_hh)
    ]
    pool.run(_lstm_steps_vjp, pieces)
    return gz


def _lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, w, gz):
    product = w.product(len(gh), gz.dtype)
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        lstm_step_vjp(gh, gc, gates[t], c[t], tanh_c[t], gz[t])
        gh[...] = product(gz[t])


def gru_steps(gates, w, bias_hh, h, hidden_n):
    w = Weights(w)
    pieces = [
        (gates[:, s], w, bias_hh, h[:, s], hidden_n[:, s]) for s in shares_of_batch(gates, w.w)
    ]
    pool.run(_gru_steps, pieces)
    return h


def _gru_steps(gates, w, bias_hh, h, hidden_n):
    product = w.product(h.shape[1], h.dtype)
    for t in range(len(gates)):
        hidden = product(h[t])
        if bias_hh is not None:
            hidden += bias_hh
        gru_step(gates[t], hidden, h[t], hidden_n[t], h[t + 1])


def gru_steps_vjp(gh, gy, gates, h, hidden_n, weight_hh, gx, ghidden):
    w = Weights(weight_hh)
    pieces = [
        (gh[s], _share(gy, s), gates[:, s], h[:, s], hidden_n[:, s], w, gx[:, s], ghidden[:, s])
        for s in shares_of_batch(gates, weight_hh)
    ]
    pool.run(_gru_steps_vjp, pieces)
    return gx


def _gru_steps_vjp(gh, gy, gates, h, hidden_n, w, gx, ghidden):
    product = w.product(len(gh), ghidden.dtype)
    for t in reversed(range(len(gates))):
        if gy is not None:
            gh += gy[t]
        gru_step_vjp(gh, gates[t], h[t], hidden_n[t], gx[t], ghidden[t])
        gh += product(ghidden[t])


def _share(gy, s):
    return None if gy is None else gy[:, s]
