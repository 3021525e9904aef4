"""Work on the rows of a matrix. What sums over a row is a function of its own: see `softmax`."""

import math

import numpy as np

from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.loops import over
from minigen.kernels.cpu.tiles import U
from minigen.kernels.reference import rows as reference
from minigen.parallel import pool
from minigen.parallel.pieces import shares, spans

# Sums of float32 are in float32, for to double they would have to be converted, into half as many
# lanes: twice the time. Only sums of sums are double, or long rows and batches would lose digits.
PART = 4096  # values of a row that are summed as they are, and
BATCH = 32  # rows
NANOSECONDS, OF_A_SUM = 1.2, 0.2  # for a value, about
SMALL = 4096  # values: NumPy sums fewer before a kernel has begun
LEAST = 64  # columns of a piece


@compiled
def _scatter_rows(out, index, updates):
    for i in range(index.size):
        row = index[i]
        for j in range(out.shape[1]):
            out[row, j] += updates[i, j]


def scatter_rows(out, index, updates):
    _scatter_rows(out, np.ascontiguousarray(index), np.ascontiguousarray(updates))
    return out


@compiled(fastmath=CONTRACT)
def _sum_rows(x, first, total, part, out):
    """out[first:] = the sum of the rows of x[:, first:], as many values as total and part have.

    These begin with zeros, and are written to. Slices, and arrays made here, would take 0.3 s more
    to compile, and out[first:] = total 4 s.
    """
    for i in range(U(len(x))):
        for j in range(U(part.size)):
            part[j] += x[i, U(first) + j]
        if i % U(BATCH) == U(BATCH - 1) or i == U(len(x) - 1):
            for j in range(U(part.size)):
                total[j] += part[j]
                part[j] = 0
    for j in range(U(part.size)):
        out[U(first) + j] = total[j]


def sum_rows(x):
    if x.size < SMALL or x.dtype.kind != "f":
        return reference.sum_rows(x)
    out, pieces = pieces_of_sum(x)
    pool.run(pool.call, pieces)
    return out


def pieces_of_sum(x):
    """An array for the sum of the rows of x, and the calls that write it."""
    x, out = np.ascontiguousarray(x), np.empty(x.shape[1], x.dtype)
    cuts = shares(x.shape[1], OF_A_SUM * x.size, LEAST)
    zeros = lambda cut, dtype: np.zeros(cut.stop - cut.start, dtype)
    return out, [
        (_sum_rows, x, cut.start, zeros(cut, np.float64), zeros(cut, x.dtype), out) for cut in cuts
    ]


@inlined(fastmath=REASSOCIATE)
def sum_of(row):
    total = row.dtype.type(0)
    for j in range(row.size):
        total += row[j]
    return total


@inlined(fastmath=REASSOCIATE)
def total_of(row):
    total = 0.0
    for start in range(0, row.size, PART):
        total += sum_of(row[start : start + PART])
    return total


@inlined(fastmath=REASSOCIATE)
def squares_of(row, mean):
    total = 0.0
    for start in range(0, row.size, PART):
        x, part = row[start : start + PART], row.dtype.type(0)
        for j in range(x.size):
            part += (x[j] - mean) * (x[j] - mean)
        total += part
    return total


@compiled(fastmath=CONTRACT)
def _layer_norm(x, y, mean, rstd, weight, bias, eps):
    rows, n = x.shape
    real = x.dtype.type
    for i in range(rows):
        mu = real(total_of(x[i]) / n)
        r = real(1 / math.sqrt(squares_of(x[i], mu) / n + eps))
        mean[i, 0], rstd[i, 0] = mu, r
        for j in range(n):
            hat = (x[i, j] - mu) * r
            if weight is not None:
                hat *= weight[j]
            if bias is not None:
                hat += bias[j]
            y[i, j] = hat


def layer_norm(x, weight, bias, eps):
    x = np.ascontiguousarray(x)
    y, mean = np.empty_like(x), np.empty((len(x), 1), x.dtype)
    rstd = np.empty_like(mean)
    constants = _contiguous(weight), _contiguous(bias), eps
    over(_layer_norm, [x, y, mean, rstd], NANOSECONDS, *constants)
    return y, mean, rstd


@inlined(fastmath=REASSOCIATE)
def moments_of(g, row, mean):
    """The sums of g and of g * (row - mean)."""
    level, along, zero = 0.0, 0.0, row.dtype.type(0)
    for start in range(0, row.size, PART):
        h, x = g[start : start + PART], row[start : start + PART]
        part_level, part_along = zero, zero
        for j in range(x.size):
            part_level += h[j]
            part_along += h[j] * (x[j] - mean)
        level += part_level
        along += part_along
    return level, along


@compiled(fastmath=CONTRACT)
def _layer_norm_vjp(g, x, weight, mean, rstd, gx, gw, gb):
    rows, n = x.shape
    real = x.dtype.type
    batch_gw, batch_gb = np.zeros(n, x.dtype), np.zeros(n, x.dtype)
    for i in range(rows):
        mu, r = mean[i, 0], rstd[i, 0]
        for j in range(n):
            gx[i, j] = g[i, j] if weight is None else g[i, j] * weight[j]
        level, along = moments_of(gx[i], x[i], mu)
        level, along = real(level / n), real(along / n * r * r)
        for j in range(n):
            batch_gb[j] += g[i, j]
        for j in range(n):
            batch_gw[j] += g[i, j] * ((x[i, j] - mu) * r)
        for j in range(n):
            gx[i, j] = (gx[i, j] - level - (x[i, j] - mu) * along) * r
        if i % BATCH == BATCH - 1 or i == rows - 1:
            for j in range(n):
                gw[j] += batch_gw[j]
                gb[j] += batch_gb[j]
            batch_gw[:] = 0
            batch_gb[:] = 0


def layer_norm_vjp(g, x, weight, mean, rstd):
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    gx, weight, cuts = (
        np.empty_like(x),
        _contiguous(weight),
        spans(len(x), 2 * NANOSECONDS * x.size),
    )
    gw, gb = np.zeros((2, len(cuts), x.shape[1]))  # the sums of each piece
    pieces = [
        (g[s], x[s], weight, mean[s], rstd[s], gx[s], gw[i], gb[i]) for i, s in enumerate(cuts)
    ]
    pool.run(_layer_norm_vjp, pieces)
    return gx, gw.sum(0).astype(x.dtype, copy=False), gb.sum(0).astype(x.dtype, copy=False)


def _contiguous(x):
    return None if x is None else np.ascontiguousarray(x)
