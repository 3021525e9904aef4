"""Work on the rows of a matrix."""

import math

import numpy as np

from minigen.kernels.cpu.compiling import REASSOCIATE, compiled


@compiled
def _scatter_rows(out, index, updates):
    for i in range(index.size):
        row = index[i]
        for j in range(out.shape[1]):
            out[row, j] += updates[i, j]


def scatter_rows(out, index, updates):
    _scatter_rows(out, np.ascontiguousarray(index), np.ascontiguousarray(updates))
    return out


@compiled(fastmath=REASSOCIATE)
def _layer_norm(x, weight, bias, eps, y, mean, rstd):
    rows, n = x.shape
    for i in range(rows):
        total = 0.0
        for j in range(n):
            total += x[i, j]
        mu = total / n
        spread = 0.0
        for j in range(n):
            spread += (x[i, j] - mu) * (x[i, j] - mu)
        r = 1 / math.sqrt(spread / n + eps)
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
    _layer_norm(x, _contiguous(weight), _contiguous(bias), eps, y, mean, rstd)
    return y, mean, rstd


@compiled(fastmath=REASSOCIATE)
def _layer_norm_vjp(g, x, weight, mean, rstd, gx, gw, gb):
    rows, n = x.shape
    for i in range(rows):
        mu, r = mean[i, 0], rstd[i, 0]
        along, level = 0.0, 0.0
        for j in range(n):
            hat, gh = (x[i, j] - mu) * r, g[i, j]
            gw[j] += gh * hat
            gb[j] += gh
            if weight is not None:
                gh *= weight[j]
            along += gh * hat
            level += gh
        along, level = along / n, level / n
        for j in range(n):
            hat, gh = (x[i, j] - mu) * r, g[i, j]
            if weight is not None:
                gh *= weight[j]
            gx[i, j] = (gh - level - hat * along) * r


def layer_norm_vjp(g, x, weight, mean, rstd):
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    # Sums over all rows: in double, or a long batch would lose digits.
    gx, gw, gb = np.empty_like(x), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    _layer_norm_vjp(g, x, _contiguous(weight), mean, rstd, gx, gw, gb)
    return gx, gw.astype(x.dtype, copy=False), gb.astype(x.dtype, copy=False)


def _contiguous(x):
    return None if x is None else np.ascontiguousarray(x)
