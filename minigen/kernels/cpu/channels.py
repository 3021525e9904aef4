"""Batch norm (Ioffe and Szegedy 2015) for batches (N, C, S).

The kernels work on one channel after the other: all passes over a channel find it in the cache.
"""

import math
from typing import NamedTuple

import numpy as np

from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.rows import deviation_sums, row_sum, vjp_sums
from minigen.parallel import pool
from minigen.parallel.pieces import shares

NS_PER_ELEMENT = 1.5  # of batch norm, roughly, on one thread: the number of tasks depends on it
SHORT_ROW = 16  # values of a channel in a sample; if fewer, a copy has all of a channel in one row


class Normalized(NamedTuple):
    """The results of `reference.batch_norm`: y (N, C, S), the others (C,)."""

    y: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    rstd: np.ndarray


class Cotangents(NamedTuple):
    """The results of `reference.batch_norm_vjp`: gx (N, C, S), gweight and gbias (C,)."""

    gx: np.ndarray
    gweight: np.ndarray
    gbias: np.ndarray


@compiled(fastmath=CONTRACT)
def _batch_norm(x, weight, bias, eps, first, last, results):
    """`reference.batch_norm` for the channels from first to last, written to results."""
    y, mean, variance, rstd = results
    n, _, s = x.shape
    real = x.dtype.type
    for k in range(first, last):
        total, deviation_total, squares = 0.0, 0.0, 0.0
        for i in range(n):
            total += row_sum(x[i, k])
        mu = real(total / (n * s))
        for i in range(n):
            row_total, row_squares = deviation_sums(x[i, k], mu)
            deviation_total += row_total
            squares += row_squares
        missing = deviation_total / (n * s)  # from mu
        mean[k], variance[k] = mu + missing, squares / (n * s) - missing * missing
        rstd[k] = 1 / math.sqrt(squares / (n * s) - missing * missing + eps)
        scale = rstd[k] if weight is None else rstd[k] * weight[k]
        shift = real((0.0 if bias is None else bias[k]) - missing * scale)
        for i in range(n):
            row, out = x[i, k], y[i, k]
            for j in range(s):
                out[j] = (row[j] - mu) * scale + shift


def batch_norm(x, weight, bias, eps):
    """`reference.batch_norm`, in tasks of channels."""
    n, c, s = x.shape
    if s < SHORT_ROW and n > 1:
        y, *statistics = batch_norm(_channels_as_rows(x), weight, bias, eps)
        return _rows_as_channels(y, x.shape), *statistics
    x, weight, bias = (None if a is None else np.ascontiguousarray(a) for a in (x, weight, bias))
    results = Normalized(np.empty_like(x), *(np.empty(c, x.dtype) for _ in range(3)))
    slices = shares(c, NS_PER_ELEMENT * x.size)
    tasks = [(x, weight, bias, eps, part.start, part.stop, results) for part in slices]
    pool.run(_batch_norm, tasks)
    return tuple(results)


@compiled(fastmath=CONTRACT)
def _batch_norm_vjp(g, x, weight, mean, rstd, first, last, results):
    """`reference.batch_norm_vjp` for the channels from first to last, written to results.

    With m = N * S and p = sum(g * (x - mean)), gweight = p * rstd. So the term hat * gweight / m of
    gx is (x - mean) * slope with slope = p / m * rstd^2.
    """
    gx, gweight, gbias = results
    n, _, s = x.shape
    real = x.dtype.type
    for k in range(first, last):
        mu, r, g_sum, product_sum = mean[k], rstd[k], 0.0, 0.0
        for i in range(n):
            row_g_sum, row_product_sum = vjp_sums(g[i, k], x[i, k], mu)
            g_sum += row_g_sum
            product_sum += row_product_sum
        gweight[k], gbias[k] = product_sum * r, g_sum
        scale = r if weight is None else r * weight[k]
        g_mean, slope = real(g_sum / (n * s)), real(product_sum / (n * s) * r * r)
        for i in range(n):
            row, gy, out = x[i, k], g[i, k], gx[i, k]
            for j in range(s):
                out[j] = (gy[j] - g_mean - (row[j] - mu) * slope) * scale


def batch_norm_vjp(g, x, weight, mean, rstd):
    """`reference.batch_norm_vjp`, in tasks of channels."""
    n, c, s = x.shape
    if s < SHORT_ROW and n > 1:
        rows = _channels_as_rows(g), _channels_as_rows(x)
        gx, *rest = batch_norm_vjp(*rows, weight, mean, rstd)
        return _rows_as_channels(gx, x.shape), *rest
    g, x, weight = (None if a is None else np.ascontiguousarray(a) for a in (g, x, weight))
    results = Cotangents(np.empty_like(x), *(np.empty(c, x.dtype) for _ in range(2)))
    slices = shares(c, 2 * NS_PER_ELEMENT * x.size)
    tasks = [(g, x, weight, mean, rstd, part.start, part.stop, results) for part in slices]
    pool.run(_batch_norm_vjp, tasks)
    return tuple(results)


def _channels_as_rows(x):
    """x (N, C, S) as (1, C, N * S)."""
    return x.swapaxes(0, 1).reshape(1, x.shape[1], len(x) * x.shape[2])


def _rows_as_channels(x, shape):
    """The inverse of `_channels_as_rows`: x (1, C, N * S) as shape = (N, C, S)."""
    n, c, s = shape
    return np.ascontiguousarray(x.reshape(c, n, s).swapaxes(0, 1))
