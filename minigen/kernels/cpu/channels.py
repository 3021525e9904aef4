"""Work on the channels of a batch (N, C, S): one after the other, for each fits a cache."""

import math

import numpy as np

from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.rows import OF_A_SUM, SMALL, moments_of, squares_of, total_of
from minigen.kernels.reference import channels as reference
from minigen.parallel import pool
from minigen.parallel.pieces import shares

NANOSECONDS = 1.5  # for a value, about
SHORT = 16  # values in a row: shorter ones are laid side by side, all of a channel


@compiled
def _sum_channels(x, first, last, out):
    for k in range(first, last):
        total = 0.0
        for i in range(len(x)):
            total += total_of(x[i, k])
        out[k] = total


def sum_channels(x):
    _, c, s = x.shape
    if x.size < SMALL or s < SHORT or x.dtype.kind != "f":
        return reference.sum_channels(x)
    x, out = np.ascontiguousarray(x), np.empty(c, x.dtype)
    cuts = shares(c, OF_A_SUM * x.size)
    pool.run(_sum_channels, [(x, cut.start, cut.stop, out) for cut in cuts])
    return out


@compiled(fastmath=CONTRACT)
def _batch_norm(x, weight, bias, eps, first, last, y, mean, variance, rstd):
    n, _, s = x.shape
    real = x.dtype.type
    for k in range(first, last):
        total, spread = 0.0, 0.0
        for i in range(n):
            total += total_of(x[i, k])
        mu = real(total / (n * s))
        for i in range(n):
            spread += squares_of(x[i, k], mu)
        mean[k], variance[k] = mu, spread / (n * s)
        rstd[k] = 1 / math.sqrt(spread / (n * s) + eps)
        scale = rstd[k] if weight is None else rstd[k] * weight[k]
        shift = real(0) if bias is None else bias[k]
        for i in range(n):
            row, out = x[i, k], y[i, k]
            for j in range(s):
                out[j] = (row[j] - mu) * scale + shift


def batch_norm(x, weight, bias, eps):
    n, c, s = x.shape
    if s < SHORT and n > 1:
        y, *moments = batch_norm(_side_by_side(x), weight, bias, eps)
        return _apart(y, x.shape), *moments
    x, weight, bias = (None if a is None else np.ascontiguousarray(a) for a in (x, weight, bias))
    results = np.empty_like(x), *(np.empty(c, x.dtype) for _ in range(3))
    cuts = shares(c, NANOSECONDS * x.size)
    pieces = [(x, weight, bias, eps, cut.start, cut.stop, *results) for cut in cuts]
    pool.run(_batch_norm, pieces)
    return results


@compiled(fastmath=CONTRACT)
def _batch_norm_vjp(g, x, weight, mean, rstd, first, last, gx, gw, gb):
    n, _, s = x.shape
    real = x.dtype.type
    for k in range(first, last):
        mu, r, level, along = mean[k], rstd[k], 0.0, 0.0
        for i in range(n):
            part_level, part_along = moments_of(g[i, k], x[i, k], mu)
            level += part_level
            along += part_along
        gw[k], gb[k] = along * r, level
        scale = r if weight is None else r * weight[k]
        lost, slope = real(level / (n * s)), real(along / (n * s) * r * r)
        for i in range(n):
            row, gy, out = x[i, k], g[i, k], gx[i, k]
            for j in range(s):
                out[j] = (gy[j] - lost - (row[j] - mu) * slope) * scale


def batch_norm_vjp(g, x, weight, mean, rstd):
    n, c, s = x.shape
    if s < SHORT and n > 1:
        rows = _side_by_side(g), _side_by_side(x)
        gx, *rest = batch_norm_vjp(*rows, weight, mean, rstd)
        return _apart(gx, x.shape), *rest
    g, x, weight = (None if a is None else np.ascontiguousarray(a) for a in (g, x, weight))
    results = np.empty_like(x), *(np.empty(c, x.dtype) for _ in range(2))
    cuts = shares(c, 2 * NANOSECONDS * x.size)
    pieces = [(g, x, weight, mean, rstd, cut.start, cut.stop, *results) for cut in cuts]
    pool.run(_batch_norm_vjp, pieces)
    return results


def _side_by_side(x):
    """(N, C, S) as (1, C, N * S)."""
    return x.swapaxes(0, 1).reshape(1, x.shape[1], len(x) * x.shape[2])


def _apart(x, shape):
    """The way back."""
    n, c, s = shape
    return np.ascontiguousarray(x.reshape(c, n, s).swapaxes(0, 1))
