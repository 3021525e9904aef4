"""Work on the rows of a matrix: one pass over memory, several over a row while it is in cache."""

import math

import numpy as np

from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import REASSOCIATE, compiled
from minigen.kernels.reference import rows as reference


@compiled
def _scatter_rows(out, index, updates):
    for i in range(index.size):
        row = index[i]
        for j in range(out.shape[1]):
            out[row, j] += updates[i, j]


def scatter_rows(out, index, updates):
    _scatter_rows(out, np.ascontiguousarray(index), np.ascontiguousarray(updates))
    return out


def _in_rows(x, axis):
    """Whether axis is the last one of x, and there is something on it."""
    return axis in (-1, x.ndim - 1) and x.size > 0


def _rows(x):
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


# --------------------------------------------------------------------------------- softmax


@compiled(fastmath=REASSOCIATE)
def _softmax(x, y):
    rows, n = x.shape
    real = x.dtype.type
    for i in range(rows):
        top = x[i, 0]
        for j in range(n):
            top = vm.larger(top, x[i, j])
        total = real(0)
        for j in range(n):
            e = vm.exp(x[i, j] - top)
            y[i, j] = e
            total += e
        share = real(1 / total)  # in double: else LLVM would divide each element
        for j in range(n):
            y[i, j] *= share


def softmax(x, axis):
    if not _in_rows(x, axis):
        return reference.softmax(x, axis)
    y = np.empty(x.shape, x.dtype)
    _softmax(_rows(x), _rows(y))
    return y


@compiled(fastmath=REASSOCIATE)
def _softmax_vjp(g, y, gx):
    rows, n = y.shape
    for i in range(rows):
        level = y.dtype.type(0)
        for j in range(n):
            level += g[i, j] * y[i, j]
        for j in range(n):
            gx[i, j] = y[i, j] * (g[i, j] - level)


def softmax_vjp(g, y, axis):
    if not _in_rows(y, axis) or g.shape != y.shape:
        return reference.softmax_vjp(g, y, axis)
    gx = np.empty(y.shape, y.dtype)
    _softmax_vjp(_rows(g), _rows(y), _rows(gx))
    return gx


@compiled(fastmath=REASSOCIATE)
def _log_softmax(x, y):
    rows, n = x.shape
    for i in range(rows):
        top = x[i, 0]
        for j in range(n):
            top = vm.larger(top, x[i, j])
        total = x.dtype.type(0)
        for j in range(n):
            total += vm.exp(x[i, j] - top)
        log_total = x.dtype.type(math.log(total))
        for j in range(n):
            y[i, j] = (x[i, j] - top) - log_total


def log_softmax(x, axis):
    if not _in_rows(x, axis):
        return reference.log_softmax(x, axis)
    y = np.empty(x.shape, x.dtype)
    _log_softmax(_rows(x), _rows(y))
    return y


@compiled(fastmath=REASSOCIATE)
def _log_softmax_vjp(g, y, gx):
    rows, n = y.shape
    for i in range(rows):
        total = y.dtype.type(0)
        for j in range(n):
            total += g[i, j]
        for j in range(n):
            gx[i, j] = g[i, j] - vm.exp(y[i, j]) * total


def log_softmax_vjp(g, y, axis):
    if not _in_rows(y, axis) or g.shape != y.shape:
        return reference.log_softmax_vjp(g, y, axis)
    gx = np.empty(y.shape, y.dtype)
    _log_softmax_vjp(_rows(g), _rows(y), _rows(gx))
    return gx


# --------------------------------------------------------------------------- cross-entropy


@compiled(fastmath=REASSOCIATE)
def _cross_entropy(x, target, smoothing, loss, lse):
    rows, n = x.shape
    real = x.dtype.type
    for i in range(rows):
        top = x[i, 0]
        for j in range(n):
            top = vm.larger(top, x[i, j])
        total, along = real(0), real(0)
        for j in range(n):
            total += vm.exp(x[i, j] - top)
        for j in range(n if smoothing else 0):
            along += x[i, j]
        lse[i, 0] = real(math.log(total)) + top
        if target[i] < 0:
            loss[i] = 0
        else:
            loss[i] = lse[i, 0] - (1 - smoothing) * x[i, target[i]] - smoothing / n * along


def cross_entropy(x, target, smoothing):
    loss, lse = np.empty(len(x), x.dtype), np.empty((len(x), 1), x.dtype)
    _cross_entropy(_rows(x), np.ascontiguousarray(target), smoothing, loss, lse)
    return loss, lse


@compiled(fastmath=REASSOCIATE)
def _cross_entropy_vjp(g, x, target, lse, smoothing, gx):
    rows, n = x.shape
    low, high = x.dtype.type(smoothing / n), x.dtype.type(1 - smoothing)
    for i in range(rows):
        if target[i] < 0:
            gx[i] = 0
        else:
            for j in range(n):
                gx[i, j] = vm.exp(x[i, j] - lse[i, 0]) - low
            gx[i, target[i]] -= high
            for j in range(n):
                gx[i, j] *= g[i]


def cross_entropy_vjp(g, x, target, lse, smoothing):
    gx = np.empty(x.shape, x.dtype)
    flat = map(np.ascontiguousarray, (g, x, target, lse))
    _cross_entropy_vjp(*flat, smoothing, gx)
    return gx


# --------------------------------------------------------------------------- normalization

# Sums are in the type of x, on vectors, for a double has half as many lanes and must be converted
# to: twice the time. Only sums of sums are in double, or long rows and batches would lose digits.
PART = 4096  # values of a row, or
BATCH = 32  # rows that are summed up in the type of x


@compiled(fastmath=REASSOCIATE)
def _layer_norm(x, weight, bias, eps, y, mean, rstd):
    rows, n = x.shape
    real = x.dtype.type
    for i in range(rows):
        total = 0.0
        for start in range(0, n, PART):
            row, part = x[i, start : start + PART], real(0)
            for j in range(row.size):
                part += row[j]
            total += part
        mu, total = real(total / n), 0.0
        for start in range(0, n, PART):
            row, part = x[i, start : start + PART], real(0)
            for j in range(row.size):
                part += (row[j] - mu) * (row[j] - mu)
            total += part
        r = real(1 / math.sqrt(total / n + eps))
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
    real = x.dtype.type
    batch_gw, batch_gb = np.zeros(n, x.dtype), np.zeros(n, x.dtype)
    for i in range(rows):
        mu, r = mean[i, 0], rstd[i, 0]
        along, level = 0.0, 0.0
        for start in range(0, n, PART):
            here = slice(start, start + PART)
            row, g_row, gh = x[i, here], g[i, here], gx[i, here]
            w = row if weight is None else weight[here]
            part_along, part_level = real(0), real(0)
            for j in range(row.size):
                gh[j] = g_row[j] if weight is None else g_row[j] * w[j]
                part_along += gh[j] * (row[j] - mu)
                part_level += gh[j]
            along += part_along
            level += part_level
        along, level = real(along / n * r * r), real(level / n)
        for j in range(n):
            batch_gb[j] += g[i, j]
        for j in range(n):
            centred = x[i, j] - mu
            batch_gw[j] += g[i, j] * (centred * r)
            gx[i, j] = (gx[i, j] - level - centred * along) * r
        if i % BATCH == BATCH - 1 or i == rows - 1:
            for j in range(n):
                gw[j] += batch_gw[j]
                gb[j] += batch_gb[j]
            batch_gw[:] = 0
            batch_gb[:] = 0


def layer_norm_vjp(g, x, weight, mean, rstd):
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    gx, gw, gb = np.empty_like(x), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    _layer_norm_vjp(g, x, _contiguous(weight), mean, rstd, gx, gw, gb)
    return gx, gw.astype(x.dtype, copy=False), gb.astype(x.dtype, copy=False)


def _contiguous(x):
    return None if x is None else np.ascontiguousarray(x)
