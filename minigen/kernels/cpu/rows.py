"""Layer norm of the rows of a matrix, sums over a row, and row-wise scatter.

A sum over a row is a function of its own, compiled with fastmath=REASSOCIATE: see `compiling`.

Long sums have two stages. A float32 sum adds chunks in float32 and the sums of chunks in double:
all in float32 would lose digits in long rows, all in double would convert each value and have half
as many lanes in a vector register, which takes twice the time.
"""

import math

import numpy as np

from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.loops import parallel_for
from minigen.kernels.cpu.sums import CHUNK, ROWS_PER_CHUNK, SHORT, row_sum
from minigen.parallel import pool
from minigen.parallel.pieces import spans

NS_PER_ELEMENT = 1.2  # of layer norm, roughly, on one thread: the number of tasks depends on it


@compiled
def _is_any_named_often(index, counts):
    """Whether index names a row more than SHORT times; counts (R,), zeros, uint8, is a buffer."""
    for i in range(index.size):
        if counts[index[i]] == SHORT:
            return True
        counts[index[i]] += 1
    return False


@compiled
def _scatter_rows(out, index, updates):
    """`reference.scatter_rows`, in the dtype of out."""
    for i in range(index.size):
        row = index[i]
        for j in range(out.shape[1]):
            out[row, j] += updates[i, j]


def scatter_rows(out, index, updates):
    """`reference.scatter_rows`, one row after the other; in double only if a row is named often."""
    index, updates = np.ascontiguousarray(index), np.ascontiguousarray(updates)
    if out.dtype != np.float32 or not _is_any_named_often(index, np.zeros(len(out), np.uint8)):
        _scatter_rows(out, index, updates)
        return out
    named = np.arange(len(out))
    if len(index) < len(out):  # fewer rows, so less memory
        named, index = np.unique(index, return_inverse=True)
    total = np.zeros((len(named), out.shape[1]))
    _scatter_rows(total, index, updates)
    out[named] += total
    return out


@inlined(fastmath=REASSOCIATE)
def deviation_sums(row, mean):
    """The sums of row - mean and of (row - mean)^2, row (N,), in two stages like `row_sum`.

    The first is not 0, since mean is rounded: see `reference.sums.deviations`.
    """
    total, square_total, zero = 0.0, 0.0, row.dtype.type(0)
    for start in range(0, row.size, CHUNK):
        x, chunk_total, chunk_squares = row[start : start + CHUNK], zero, zero
        for j in range(x.size):
            d = x[j] - mean
            chunk_total += d
            chunk_squares += d * d
        total += chunk_total
        square_total += chunk_squares
    return total, square_total


@compiled(fastmath=CONTRACT)
def _layer_norm(x, y, mean, rstd, weight, bias, eps):
    """`reference.layer_norm`, written to y (M, N), mean and rstd (M, 1)."""
    rows, n = x.shape
    real = x.dtype.type
    for i in range(rows):
        mu = real(row_sum(x[i]) / n)
        total, squares = deviation_sums(x[i], mu)
        shift = total / n  # what is missing from mu
        r = real(1 / math.sqrt(squares / n - shift * shift + eps))
        mean[i, 0], rstd[i, 0], offset = mu + shift, r, real(shift * r)
        for j in range(n):
            hat = (x[i, j] - mu) * r - offset
            if weight is not None:
                hat *= weight[j]
            if bias is not None:
                hat += bias[j]
            y[i, j] = hat


def layer_norm(x, weight, bias, eps):
    """`reference.layer_norm`, with three passes over each row while it is in the cache."""
    x = np.ascontiguousarray(x)
    y, mean = np.empty_like(x), np.empty((len(x), 1), x.dtype)
    rstd = np.empty_like(mean)
    constants = _contiguous(weight), _contiguous(bias), eps
    parallel_for(_layer_norm, [x, y, mean, rstd], NS_PER_ELEMENT, *constants)
    return y, mean, rstd


@inlined(fastmath=REASSOCIATE)
def vjp_sums(g, row, mean):
    """sum(g) and sum(g * (row - mean)), g and row (N,), in two stages like `row_sum`.

    These are the two sums in the VJP of a normalization.
    """
    g_total, product_total, zero = 0.0, 0.0, row.dtype.type(0)
    for start in range(0, row.size, CHUNK):
        h, x = g[start : start + CHUNK], row[start : start + CHUNK]
        chunk_g, chunk_product = zero, zero
        for j in range(x.size):
            chunk_g += h[j]
            chunk_product += h[j] * (x[j] - mean)
        g_total += chunk_g
        product_total += chunk_product
    return g_total, product_total


@compiled(fastmath=CONTRACT)
def _layer_norm_vjp(g, x, weight, mean, rstd, gx, gw, gb):
    """`reference.layer_norm_vjp`, written to gx (M, N) and added to gw and gb (N,), in double.

    With hat = (x - mean) * rstd and gh = g * weight, a row of gx is
    (gh - mean(gh) - hat * mean(gh * hat)) * rstd.
    """
    rows, n = x.shape
    real = x.dtype.type
    chunk_gw, chunk_gb = np.zeros(n, x.dtype), np.zeros(n, x.dtype)
    for i in range(rows):
        mu, r = mean[i, 0], rstd[i, 0]
        for j in range(n):
            gx[i, j] = g[i, j] if weight is None else g[i, j] * weight[j]  # gh
        g_total, product_total = vjp_sums(gx[i], x[i], mu)
        # slope * (x - mean) = hat * mean(gh * hat)
        mean_gh, slope = real(g_total / n), real(product_total / n * r * r)
        for j in range(n):
            chunk_gb[j] += g[i, j]
        for j in range(n):
            chunk_gw[j] += g[i, j] * ((x[i, j] - mu) * r)
        for j in range(n):
            gx[i, j] = (gx[i, j] - mean_gh - (x[i, j] - mu) * slope) * r
        if i % ROWS_PER_CHUNK == ROWS_PER_CHUNK - 1 or i == rows - 1:
            for j in range(n):
                gw[j] += chunk_gw[j]
                gb[j] += chunk_gb[j]
            chunk_gw[:] = 0
            chunk_gb[:] = 0


def layer_norm_vjp(g, x, weight, mean, rstd):
    """`reference.layer_norm_vjp`, with blocks of rows as the tasks."""
    g, x, weight = np.ascontiguousarray(g), np.ascontiguousarray(x), _contiguous(weight)
    gx = np.empty_like(x)
    blocks = spans(len(x), 2 * NS_PER_ELEMENT * x.size)
    gw, gb = np.zeros((2, len(blocks), x.shape[1]))  # the sums of each block
    tasks = [
        (g[s], x[s], weight, mean[s], rstd[s], gx[s], gw[i], gb[i]) for i, s in enumerate(blocks)
    ]
    pool.run(_layer_norm_vjp, tasks)
    return gx, gw.sum(0).astype(x.dtype, copy=False), gb.sum(0).astype(x.dtype, copy=False)


def _contiguous(x):
    """x in C order; None for None."""
    return None if x is None else np.ascontiguousarray(x)
