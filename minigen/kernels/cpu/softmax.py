"""Softmax, log-softmax and cross-entropy: one pass over memory, up to three over a row in cache.

The maximum of a row is subtracted first, so that no exp overflows. These are the passes of the
"safe softmax" of Milakov and Gimelshein 2018, "Online normalizer calculation for softmax", not
their online one: a row is in the cache after its first pass, and the online update of the sum would
take one more exp for each element.

A sum over a row is a function of its own, compiled with fastmath=REASSOCIATE: see `compiling`.
"""

import math

import numpy as np

from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.loops import parallel_for
from minigen.kernels.cpu.rows import CHUNK, row_sum
from minigen.kernels.cpu.sums import chunk_sum
from minigen.kernels.reference import rows as reference

NS_PER_ELEMENT = 2.0  # roughly, on one thread: the number of tasks depends on it


@inlined(fastmath=REASSOCIATE)
def largest(row):
    """The maximum of row (N,), NaN if the row has a NaN."""
    top = row[0]
    for j in range(row.size):
        top = vm.larger(top, row[j])
    return top


@inlined(fastmath=REASSOCIATE)
def _exp_and_sum(row, top, out):
    """Write exp(row - top) to out, both (N,); returns the sum of out, of two stages: see `rows`.

    The sum has a loop of its own. One loop for both would be vectorized only where row and out are
    far apart in memory, and the order of the additions, so the last bits, would depend on that.
    """
    total = 0.0
    for start in range(0, row.size, CHUNK):
        x, y = row[start:], out[start : start + CHUNK]
        for j in range(y.size):
            y[j] = vm.exp(x[j] - top)
        total += chunk_sum(y)
    return total


@inlined(fastmath=REASSOCIATE)
def _sum_exp(row, top):
    """The sum of exp(row - top), row (N,), in two stages."""
    total = 0.0
    for start in range(0, row.size, CHUNK):
        x, chunk_total = row[start : start + CHUNK], row.dtype.type(0)
        for j in range(x.size):
            chunk_total += vm.exp(x[j] - top)
        total += chunk_total
    return total


@inlined(fastmath=REASSOCIATE)
def _dot(a, b):
    """The sum of a * b, both (N,), in two stages."""
    total = 0.0
    for start in range(0, a.size, CHUNK):
        x, y, chunk_total = a[start:], b[start : start + CHUNK], a.dtype.type(0)
        for j in range(y.size):
            chunk_total += x[j] * y[j]
        total += chunk_total
    return total


def _is_last_axis(x, axis):
    """Whether axis is the last axis of x, and x has elements: what these kernels can do."""
    return axis in (-1, x.ndim - 1) and x.size > 0


def _as_rows(x):
    """x (..., N) as a contiguous matrix (M, N): a view of a contiguous x."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


@compiled(fastmath=CONTRACT)
def _softmax(x, y):
    """y = softmax of each row of x; both (M, N)."""
    rows, n = x.shape
    one = x.dtype.type(1)
    for i in range(rows):
        scale = one / x.dtype.type(_exp_and_sum(x[i], largest(x[i]), y[i]))
        for j in range(n):
            y[i, j] *= scale


def softmax(x, axis):
    """`reference.softmax` over the last axis; other axes are left to it."""
    if not _is_last_axis(x, axis):
        return reference.softmax(x, axis)
    y = np.empty(x.shape, x.dtype)
    parallel_for(_softmax, [_as_rows(x), _as_rows(y)], NS_PER_ELEMENT)
    return y


@compiled(fastmath=CONTRACT)
def _softmax_vjp(g, y, gx):
    """gx = y * (g - sum(g * y)) for each row; all (M, N)."""
    rows, n = y.shape
    for i in range(rows):
        gy_sum = g.dtype.type(_dot(g[i], y[i]))
        for j in range(n):
            gx[i, j] = y[i, j] * (g[i, j] - gy_sum)


def softmax_vjp(g, y, axis):
    """`reference.softmax_vjp` over the last axis; other axes are left to it."""
    if not _is_last_axis(y, axis) or g.shape != y.shape:
        return reference.softmax_vjp(g, y, axis)
    gx = np.empty(y.shape, y.dtype)
    parallel_for(_softmax_vjp, [_as_rows(g), _as_rows(y), _as_rows(gx)], NS_PER_ELEMENT)
    return gx


@compiled(fastmath=CONTRACT)
def _log_softmax(x, y):
    """y = (x - max(x)) - log(sum(exp(x - max(x)))) for each row; both (M, N)."""
    rows, n = x.shape
    for i in range(rows):
        top = largest(x[i])
        log_total = x.dtype.type(math.log(_sum_exp(x[i], top)))
        for j in range(n):
            y[i, j] = (x[i, j] - top) - log_total


def log_softmax(x, axis):
    """`reference.log_softmax` over the last axis; other axes are left to it."""
    if not _is_last_axis(x, axis):
        return reference.log_softmax(x, axis)
    y = np.empty(x.shape, x.dtype)
    parallel_for(_log_softmax, [_as_rows(x), _as_rows(y)], NS_PER_ELEMENT)
    return y


@compiled(fastmath=CONTRACT)
def _log_softmax_vjp(g, y, gx):
    """gx = g - exp(y) * sum(g) for each row; all (M, N)."""
    rows, n = y.shape
    for i in range(rows):
        total = g.dtype.type(row_sum(g[i]))
        for j in range(n):
            gx[i, j] = g[i, j] - vm.exp(y[i, j]) * total


def log_softmax_vjp(g, y, axis):
    """`reference.log_softmax_vjp` over the last axis; other axes are left to it."""
    if not _is_last_axis(y, axis) or g.shape != y.shape:
        return reference.log_softmax_vjp(g, y, axis)
    gx = np.empty(y.shape, y.dtype)
    parallel_for(_log_softmax_vjp, [_as_rows(g), _as_rows(y), _as_rows(gx)], NS_PER_ELEMENT)
    return gx


# --------------------------------------------------------------------------- cross-entropy


@compiled(fastmath=CONTRACT)
def _cross_entropy(x, target, loss, lse, smoothing):
    """`reference.cross_entropy`, written to loss (M,) and lse (M, 1)."""
    rows, n = x.shape
    for i in range(rows):
        top, t = largest(x[i]), target[i]
        lse[i, 0] = x.dtype.type(math.log(_sum_exp(x[i], top))) + top
        loss[i] = lse[i, 0] - (1 - smoothing) * x[i, t] if t >= 0 else 0
        if smoothing and t >= 0:
            loss[i] -= smoothing * (row_sum(x[i]) / n)


def cross_entropy(x, target, smoothing):
    """`reference.cross_entropy` without an array of probabilities."""
    if not x.size:
        return reference.cross_entropy(x, target, smoothing)
    loss, lse = np.empty(len(x), x.dtype), np.empty((len(x), 1), x.dtype)
    arrays = [_as_rows(x), np.ascontiguousarray(target), loss, lse]
    parallel_for(_cross_entropy, arrays, NS_PER_ELEMENT, smoothing)
    return loss, lse


@compiled(fastmath=CONTRACT)
def _cross_entropy_vjp(x, g, target, lse, gx, smoothing):
    """`reference.cross_entropy_vjp`, written to gx (M, C).

    q is q_other for each class, plus q_target for the target class.
    """
    rows, n = x.shape
    q_other, q_target = x.dtype.type(smoothing / n), x.dtype.type(1 - smoothing)
    for i in range(rows):
        if target[i] < 0:
            gx[i] = 0
        else:
            for j in range(n):
                gx[i, j] = vm.exp(x[i, j] - lse[i, 0]) - q_other
            gx[i, target[i]] -= q_target
            for j in range(n):
                gx[i, j] *= g[i]


def cross_entropy_vjp(g, x, target, lse, smoothing):
    """`reference.cross_entropy_vjp` in one pass over memory."""
    if not x.size:
        return reference.cross_entropy_vjp(g, x, target, lse, smoothing)
    gx = np.empty(x.shape, x.dtype)
    arrays = [*map(np.ascontiguousarray, (x, g, target, lse)), gx]
    parallel_for(_cross_entropy_vjp, arrays, NS_PER_ELEMENT, smoothing)
    return gx
