"""Softmax, its logarithm and the cross-entropy: one pass over memory, three over a row in cache.

What sums over a row is a function of its own, for it alone may be reordered.
"""

import math

import numpy as np

from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.loops import over
from minigen.kernels.cpu.rows import sum_of
from minigen.kernels.reference import rows as reference

NANOSECONDS = 2.0  # for an element, about


@inlined(fastmath=REASSOCIATE)
def largest(row):
    """The largest number of a row, NaN if there is one."""
    top = row[0]
    for j in range(row.size):
        top = vm.larger(top, row[j])
    return top


@inlined(fastmath=REASSOCIATE)
def exp_below(row, top, out):
    """Write exp(row - top) into out; its sum."""
    total = row.dtype.type(0)
    for j in range(row.size):
        e = vm.exp(row[j] - top)
        out[j] = e
        total += e
    return total


@inlined(fastmath=REASSOCIATE)
def _total_exp(row, top):
    total = row.dtype.type(0)
    for j in range(row.size):
        total += vm.exp(row[j] - top)
    return total


@inlined(fastmath=REASSOCIATE)
def _dot(a, b):
    total = a.dtype.type(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


def _in_rows(x, axis):
    """Whether axis is the last one of x, and there is something on it."""
    return axis in (-1, x.ndim - 1) and x.size > 0


def _rows(x):
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


@compiled(fastmath=CONTRACT)
def _softmax(x, y):
    rows, n = x.shape
    one = x.dtype.type(1)
    for i in range(rows):
        share = one / exp_below(x[i], largest(x[i]), y[i])
        for j in range(n):
            y[i, j] *= share


def softmax(x, axis):
    if not _in_rows(x, axis):
        return reference.softmax(x, axis)
    y = np.empty(x.shape, x.dtype)
    over(_softmax, [_rows(x), _rows(y)], NANOSECONDS)
    return y


@compiled(fastmath=CONTRACT)
def _softmax_vjp(g, y, gx):
    rows, n = y.shape
    for i in range(rows):
        level = _dot(g[i], y[i])
        for j in range(n):
            gx[i, j] = y[i, j] * (g[i, j] - level)


def softmax_vjp(g, y, axis):
    if not _in_rows(y, axis) or g.shape != y.shape:
        return reference.softmax_vjp(g, y, axis)
    gx = np.empty(y.shape, y.dtype)
    over(_softmax_vjp, [_rows(g), _rows(y), _rows(gx)], NANOSECONDS)
    return gx


@compiled(fastmath=CONTRACT)
def _log_softmax(x, y):
    rows, n = x.shape
    for i in range(rows):
        top = largest(x[i])
        log_total = x.dtype.type(math.log(_total_exp(x[i], top)))
        for j in range(n):
            y[i, j] = (x[i, j] - top) - log_total


def log_softmax(x, axis):
    if not _in_rows(x, axis):
        return reference.log_softmax(x, axis)
    y = np.empty(x.shape, x.dtype)
    over(_log_softmax, [_rows(x), _rows(y)], NANOSECONDS)
    return y


@compiled(fastmath=CONTRACT)
def _log_softmax_vjp(g, y, gx):
    rows, n = y.shape
    for i in range(rows):
        total = sum_of(g[i])
        for j in range(n):
            gx[i, j] = g[i, j] - vm.exp(y[i, j]) * total


def log_softmax_vjp(g, y, axis):
    if not _in_rows(y, axis) or g.shape != y.shape:
        return reference.log_softmax_vjp(g, y, axis)
    gx = np.empty(y.shape, y.dtype)
    over(_log_softmax_vjp, [_rows(g), _rows(y), _rows(gx)], NANOSECONDS)
    return gx


# --------------------------------------------------------------------------- cross-entropy


@compiled(fastmath=CONTRACT)
def _cross_entropy(x, target, loss, lse, smoothing):
    rows, n = x.shape
    for i in range(rows):
        top, t = largest(x[i]), target[i]
        lse[i, 0] = x.dtype.type(math.log(_total_exp(x[i], top))) + top
        loss[i] = lse[i, 0] - (1 - smoothing) * x[i, t] if t >= 0 else 0
        if smoothing and t >= 0:
            loss[i] -= smoothing * (sum_of(x[i]) / n)


def cross_entropy(x, target, smoothing):
    if not x.size:
        return reference.cross_entropy(x, target, smoothing)
    loss, lse = np.empty(len(x), x.dtype), np.empty((len(x), 1), x.dtype)
    arrays = [_rows(x), np.ascontiguousarray(target), loss, lse]
    over(_cross_entropy, arrays, NANOSECONDS, smoothing)
    return loss, lse


@compiled(fastmath=CONTRACT)
def _cross_entropy_vjp(x, g, target, lse, gx, smoothing):
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
    if not x.size:
        return reference.cross_entropy_vjp(g, x, target, lse, smoothing)
    gx = np.empty(x.shape, x.dtype)
    arrays = [*map(np.ascontiguousarray, (x, g, target, lse)), gx]
    over(_cross_entropy_vjp, arrays, NANOSECONDS, smoothing)
    return gx
