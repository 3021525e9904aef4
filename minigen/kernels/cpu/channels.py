"""Work on the channels of a batch (N, C, S)."""

import math

import numpy as np

from minigen.kernels.cpu.compiling import REASSOCIATE, compiled

# Memory is read in its order, sample by sample; sums over the batch are in double.


@compiled(fastmath=REASSOCIATE)
def _batch_norm(x, weight, bias, eps, y, mean, variance, rstd):
    n, c, s = x.shape
    count = n * s
    total, spread = np.zeros(c), np.zeros(c)
    for i in range(n):
        for k in range(c):
            part = 0.0
            for j in range(s):
                part += x[i, k, j]
            total[k] += part
    for k in range(c):
        mean[k] = total[k] / count
    for i in range(n):
        for k in range(c):
            mu, part = mean[k], 0.0
            for j in range(s):
                part += (x[i, k, j] - mu) * (x[i, k, j] - mu)
            spread[k] += part
    for k in range(c):
        variance[k] = spread[k] / count
        rstd[k] = 1 / math.sqrt(spread[k] / count + eps)
    for i in range(n):
        for k in range(c):
            mu, scale, shift = mean[k], rstd[k], x.dtype.type(0)
            if weight is not None:
                scale *= weight[k]
            if bias is not None:
                shift = bias[k]
            for j in range(s):
                y[i, k, j] = (x[i, k, j] - mu) * scale + shift


def batch_norm(x, weight, bias, eps):
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    mean, variance, rstd = (np.empty(x.shape[1], x.dtype) for _ in range(3))
    _batch_norm(x, _contiguous(weight), _contiguous(bias), eps, y, mean, variance, rstd)
    return y, mean, variance, rstd


@compiled(fastmath=REASSOCIATE)
def _batch_norm_vjp(g, x, weight, mean, rstd, gx, gw, gb):
    n, c, s = x.shape
    count = n * s
    for i in range(n):
        for k in range(c):
            mu, along, level = mean[k], 0.0, 0.0
            for j in range(s):
                along += g[i, k, j] * (x[i, k, j] - mu)
                level += g[i, k, j]
            gw[k] += along
            gb[k] += level
    for k in range(c):
        gw[k] *= rstd[k]
    one = x.dtype.type(1)
    for i in range(n):
        for k in range(c):
            mu, r = mean[k], rstd[k]
            scale = r if weight is None else r * weight[k]
            along, level = one * (gw[k] / count) * r, one * (gb[k] / count)
            for j in range(s):
                gx[i, k, j] = (g[i, k, j] - level - (x[i, k, j] - mu) * along) * scale


def batch_norm_vjp(g, x, weight, mean, rstd):
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    gx, gw, gb = np.empty_like(x), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    _batch_norm_vjp(g, x, _contiguous(weight), mean, rstd, gx, gw, gb)
    return gx, gw.astype(x.dtype, copy=False), gb.astype(x.dtype, copy=False)


def _contiguous(x):
    return None if x is None else np.ascontiguousarray(x)
