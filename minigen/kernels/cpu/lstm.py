"""An LSTM over all steps in one kernel for each direction, arithmetic and product of each step.

Threads do not meet at the interpreter's lock between one and the other: on two of them the
backward pass takes 0.35 to 0.6 of the time of `sequences.lstm_steps_vjp`.
"""

import numpy as np

from minigen.kernels.cpu import sequences, tiles
from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.packed_weights import Weights, multiply, places_of
from minigen.kernels.cpu.recurrent import cell, cell_vjp
from minigen.parallel import pool


@compiled
def _steps(first, last, gates, b, places, units, h, c, tanh_c):
    """The steps for the sequences from first to last; b holds the weights, laid in panels."""
    here, n = slice(first, last), c.shape[2]
    space = np.empty((len(places), 4 * n), b.dtype)
    hidden = space[: last - first].reshape(last - first, 4, n)
    for t in range(len(gates)):
        multiply(h[t, here].reshape(-1), places, units, b, space)
        cell(gates[t, here], hidden, c[t, here], c[t + 1, here], tanh_c[t, here], h[t + 1, here])


def lstm_steps(gates, w, h, c, tanh_c):
    n = len(w)
    if not _fit(n, gates, h, c, tanh_c) or w.dtype != gates.dtype or not w.flags.forc:
        return sequences.lstm_steps(gates, w, h, c, tanh_c)
    b, units = Weights(w).panels, np.arange(n)
    z, pieces = gates.reshape(*gates.shape[:2], 4, n), []
    for s in sequences.shares_of_batch(gates, w):
        places = places_of(s.stop - s.start, n)
        pieces.append((s.start, s.stop, z, b, places, units, h, c, tanh_c))
    pool.run(_steps, pieces)
    return h


@compiled(fastmath=CONTRACT)
def _steps_vjp(first, last, gh, gc, gy, gates, b, places, units, c, tanh_c, gz):
    """The steps for the sequences from first to last; b holds the weights, laid in panels."""
    n, here, one = gh.shape[1], slice(first, last), gh.dtype.type(1)
    space = np.empty((len(places), n), b.dtype)
    for t in range(len(gates) - 1, -1, -1):
        if gy is not None:
            for m in range(first, last):  # with slices it would take 4 seconds more to compile
                for j in range(n):
                    gh[m, j] += gy[t, m, j]
        cell_vjp(gh[here], gc[here], gates[t, here], c[t, here], tanh_c[t, here], gz[t, here], one)
        multiply(gz[t, here].reshape(-1), places, units, b, space)
        for m in range(first, last):
            for j in range(n):
                gh[m, j] = space[m - first, j]


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    n = gh.shape[1]
    if not _fit(n, gh, gc, gates, c, tanh_c, weight_hh, gz):
        return sequences.lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz)
    gy = None if gy is None else np.ascontiguousarray(gy)
    b = Weights(weight_hh).panels
    z, of_z = (x.reshape(*x.shape[:2], 4, n) for x in (gates, gz))
    units = np.arange(4 * n)
    pieces = []
    for s in sequences.shares_of_batch(gates, weight_hh):
        places = places_of(s.stop - s.start, 4 * n)
        pieces.append((s.start, s.stop, gh, gc, gy, z, b, places, units, c, tanh_c, of_z))
    pool.run(_steps_vjp, pieces)
    return gz


def _fit(units, *arrays):
    """Whether the loops can work on them: of one dtype, in C order, units whole vectors."""
    alike = all(x.flags.c_contiguous and x.size and x.dtype == arrays[0].dtype for x in arrays)
    return alike and units * arrays[0].itemsize % tiles.VECTOR == 0
