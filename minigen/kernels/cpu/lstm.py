"""An LSTM over all steps: for each direction one kernel with the product and arithmetic of a step.

`sequences.lstm_steps_vjp` returns to Python between the product and the arithmetic of each step,
where its threads wait for the interpreter lock. On two threads, the backward pass of this file
takes 0.35 to 0.6 of its time.
"""

from typing import NamedTuple

import numpy as np

from minigen.kernels.cpu import sequences, tiles
from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.packed_weights import (
    PackedWeights,
    multiply_packed,
    padded_row_offsets,
)
from minigen.kernels.cpu.recurrent import lstm_cell, lstm_cell_vjp
from minigen.parallel import pool


class Product(NamedTuple):
    """The right factor of `multiply_packed`, and the offsets of the left one's rows and columns."""

    panels: np.ndarray
    row_offsets: np.ndarray
    k_offsets: np.ndarray


class ForwardBuffers(NamedTuple):
    """The arrays of `reference.lstm_steps`, with gates (T, B, 4, H)."""

    gates: np.ndarray
    h: np.ndarray
    c: np.ndarray
    tanh_c: np.ndarray


class SavedValues(NamedTuple):
    """What the backward pass reads: gates (T, B, 4, H), c (T + 1, B, H) and tanh_c (T, B, H)."""

    gates: np.ndarray
    c: np.ndarray
    tanh_c: np.ndarray


class Cotangents(NamedTuple):
    """The cotangents that `reference.lstm_steps_vjp` writes, with gz (T, B, 4, H).

    gy is not among them: Numba compiles away `gy is not None` only for an argument of the kernel.
    """

    gh: np.ndarray
    gc: np.ndarray
    gz: np.ndarray


@compiled
def _steps(first, last, product, buffers):
    """`reference.lstm_steps` for the sequences from first to last, weight_hh.T in panels."""
    gates, h, c, tanh_c = buffers
    panels, row_offsets, k_offsets = product
    batch, n = slice(first, last), c.shape[2]
    out = np.empty((len(row_offsets), 4 * n), panels.dtype)
    hidden = out[: last - first].reshape(last - first, 4, n)
    for t in range(len(gates)):
        multiply_packed(h[t, batch].reshape(-1), row_offsets, k_offsets, panels, out)
        lstm_cell(
            *(gates[t, batch], hidden, c[t, batch]),
            *(c[t + 1, batch], tanh_c[t, batch], h[t + 1, batch]),
        )


def lstm_steps(gates, w, h, c, tanh_c):
    """`reference.lstm_steps` in one kernel, in tasks of sequences; else that of `sequences`."""
    n = len(w)
    if not _fit_kernel(n, gates, h, c, tanh_c) or w.dtype != gates.dtype or not w.flags.forc:
        return sequences.lstm_steps(gates, w, h, c, tanh_c)
    panels, k_offsets = PackedWeights(w).panels, np.arange(n)
    buffers, tasks = ForwardBuffers(gates.reshape(*gates.shape[:2], 4, n), h, c, tanh_c), []
    for s in sequences.batch_slices(gates, w):
        product = Product(panels, padded_row_offsets(s.stop - s.start, n), k_offsets)
        tasks.append((s.start, s.stop, product, buffers))
    pool.run(_steps, tasks)
    return h


@compiled(fastmath=CONTRACT)
def _steps_vjp(first, last, product, saved, gy, cotangents):
    """`reference.lstm_steps_vjp` for the sequences from first to last, weight_hh in panels."""
    gates, c, tanh_c = saved
    gh, gc, gz = cotangents
    panels, row_offsets, k_offsets = product
    n, batch, one = gh.shape[1], slice(first, last), gh.dtype.type(1)
    out = np.empty((len(row_offsets), n), panels.dtype)
    for t in range(len(gates) - 1, -1, -1):
        if gy is not None:
            for m in range(first, last):  # with slices it would take 4 seconds more to compile
                for j in range(n):
                    gh[m, j] += gy[t, m, j]
        lstm_cell_vjp(
            *(gh[batch], gc[batch], gates[t, batch], c[t, batch]),
            *(tanh_c[t, batch], gz[t, batch], one),
        )
        multiply_packed(gz[t, batch].reshape(-1), row_offsets, k_offsets, panels, out)
        for m in range(first, last):
            for j in range(n):
                gh[m, j] = out[m - first, j]


def lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz):
    """`reference.lstm_steps_vjp` in one kernel, in tasks of sequences; else that of `sequences`."""
    n = gh.shape[1]
    if not _fit_kernel(n, gh, gc, gates, c, tanh_c, weight_hh, gz):
        return sequences.lstm_steps_vjp(gh, gc, gy, gates, c, tanh_c, weight_hh, gz)
    gy = None if gy is None else np.ascontiguousarray(gy)
    panels, k_offsets = PackedWeights(weight_hh).panels, np.arange(4 * n)
    by_gate = [x.reshape(*x.shape[:2], 4, n) for x in (gates, gz)]
    saved = SavedValues(by_gate[0], c, tanh_c)
    cotangents, tasks = Cotangents(gh, gc, by_gate[1]), []
    for s in sequences.batch_slices(gates, weight_hh):
        product = Product(panels, padded_row_offsets(s.stop - s.start, 4 * n), k_offsets)
        tasks.append((s.start, s.stop, product, saved, gy, cotangents))
    pool.run(_steps_vjp, tasks)
    return gz


def _fit_kernel(units, *arrays):
    """Whether the arrays have one dtype, C order and elements, and H units are whole vectors."""
    first = arrays[0]
    uniform = all(x.flags.c_contiguous and x.size and x.dtype == first.dtype for x in arrays)
    return uniform and units * first.itemsize % tiles.VECTOR_BYTES == 0
