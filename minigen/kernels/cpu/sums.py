"""Sums over any axes of an array in any memory layout.

NumPy adds the values that are adjacent in memory pairwise, so that rounding errors hardly grow
with their number, but all others one after the other. Here no more than SHORT float32 values are
added one after the other: chunks of rows in float32, and the sums of chunks in double. All in
double would convert each value and have half as many lanes in a vector register, which takes twice
the time.
"""

import math
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from minigen.kernels.cpu.compiling import REASSOCIATE, U, compiled, inlined
from minigen.kernels.cpu.loops import parallel_for
from minigen.kernels.reference.sums import SHORT
from minigen.parallel import pool
from minigen.parallel.pieces import shares

CHUNK = 4096  # values of a row that are added in the dtype of the row
ROWS_PER_CHUNK = 32  # rows that are added in the dtype of the matrix

NS_PER_ADDITION = 0.2  # roughly, on one thread: the number of tasks depends on it
MIN_COLUMNS = 64  # of a task, and of an inner loop where there are rows to lay side by side
MAX_COLUMNS = 8192  # of an inner loop: its sums stay in the second-level cache
MIN_SIZE = 2**14  # values: with fewer, NumPy has added them before a call of a kernel has begun
SHORT_ROW = 16  # values; NumPy adds the rows of what remains if they are fewer


@inlined(fastmath=REASSOCIATE)
def chunk_sum(row):
    """The sum of row (N,) in its dtype."""
    total = row.dtype.type(0)
    for j in range(row.size):
        total += row[j]
    return total


@inlined(fastmath=REASSOCIATE)
def row_sum(row):
    """The sum of row (N,): of chunks in its dtype, of their sums in double."""
    total = 0.0
    for start in range(0, row.size, CHUNK):
        total += chunk_sum(row[start : start + CHUNK])
    return total


add_by_numpy = np.add.reduce  # (x, axes, dtype, out, keepdims)


class Part(NamedTuple):
    """The sums of a task: of matrices first to last, and of their columns left to right."""

    first: int
    last: int
    left: int
    right: int


@compiled
def _sum_rows(x, part, total, chunk_total, out):
    """out[a * C + c] = the sum over r of x[a, r, c], x (A, R, C), for the a and c of part.

    total (float64) and chunk_total (dtype of x), (W,), are buffers that start as zeros. An inner
    loop adds W columns. If W is more than C, it adds W / C rows side by side, since a loop over
    a few columns would not be vectorized. Slices of x, or buffers that the kernel allocates, would
    add 0.3 s to its compilation.
    """
    _, r, c = x.shape
    values, width = x.reshape(-1), chunk_total.size
    step = max(c, width)
    rows, rest = r * c // step, r * c % step  # rest: values of the rows that are left over
    for a in range(part.first, part.last):
        for left in range(part.left, part.right, width):
            start, columns = a * r * c + left, min(width, part.right - left)
            lanes = width if width > c else columns
            for i in range(rows):
                for j in range(U(lanes)):
                    chunk_total[j] += values[U(start + i * step) + j]
                if i % ROWS_PER_CHUNK == ROWS_PER_CHUNK - 1 or i == rows - 1:
                    for j in range(U(lanes)):
                        total[j] += chunk_total[j]
                        chunk_total[j] = 0
            for j in range(U(rest)):
                total[j] += values[U(start + rows * step) + j]
            for j in range(columns):
                column_total = 0.0
                for k in range(j, lanes, columns):
                    column_total += total[k]
                    total[k] = 0
                out[a * c + left + j] = column_total


def sum_rows_tasks(x):
    """An uninitialized array (A * C,), and tasks that write to it the sums over r of x (A, R, C).

    A task is (function, *args), for `pool.call`. x must be contiguous.
    """
    (a, r, c), out = x.shape, np.empty(x.shape[0] * x.shape[2], x.dtype)
    work = NS_PER_ADDITION * x.size
    if a > 1:
        parts = [Part(s.start, s.stop, 0, c) for s in shares(a, work)]
    else:
        parts = [Part(0, 1, s.start, s.stop) for s in shares(c, work, MIN_COLUMNS)]
    side_by_side = max(min(MIN_COLUMNS // c, r), 1)  # rows
    tasks = []
    for part in parts:
        width = min((part.right - part.left) * side_by_side, MAX_COLUMNS)
        tasks.append((_sum_rows, x, part, np.zeros(width), np.zeros(width, x.dtype), out))
    return out, tasks


@compiled
def _sum_columns(x, out):
    """out[m] = the sum over n of x[m, n], x (M, N)."""
    for m in range(len(x)):
        out[m] = row_sum(x[m])


def sum_over(x, axes, keepdims=False):
    """`reference.sum_over`; by NumPy where it adds few values one after the other."""
    if x.dtype.kind != "f":
        return add_by_numpy(x, axes, np.int64, None, keepdims)
    axes, shape, terms = axes if type(axes) is tuple else (axes,), x.shape, 1
    for i in axes:
        terms *= shape[i]
    if terms <= SHORT or _is_added_pairwise(x, axes):
        return add_by_numpy(x, axes, None, None, keepdims)
    if x.flags.c_contiguous and max(axes) == len(axes) - 1 and min(axes) >= 0:
        y, rest = _sum_rows_of(x.reshape(1, terms, -1)), shape[len(axes) :]
        return y.reshape((1,) * len(axes) + rest if keepdims else rest)
    axes = tuple(i % x.ndim for i in axes)
    repeated = tuple(i for i in axes if shape[i] > 1 and not x.strides[i])
    if repeated:
        once = tuple(slice(1) if i in repeated else slice(None) for i in range(x.ndim))
        repeats = math.prod(shape[i] for i in repeated)
        return sum_over(x[once], axes, keepdims) * x.dtype.type(repeats)
    kept = [i for i in range(x.ndim) if i not in axes]
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))  # the order in memory
    y = _sum_groups(np.ascontiguousarray(x.transpose(order)), [i in axes for i in order])
    kept_order = [i for i in order if i not in axes]
    if kept_order != kept:
        y = y.reshape([shape[i] for i in kept_order])
        y = np.ascontiguousarray(y.transpose([kept_order.index(i) for i in kept]))
    y = y.reshape([1 if i in axes else shape[i] for i in (range(x.ndim) if keepdims else kept)])
    return y if y.ndim else y[()]


def _is_added_pairwise(x, axes):
    """Whether x has no values, or if those of each sum of x are adjacent in memory."""
    if not x.size:
        return True
    flags, others = x.flags, x.ndim - len(axes)
    if others:
        return flags.c_contiguous and min(axes) % x.ndim == others
    return flags.forc


def _sum_groups(x, is_summed):
    """x, which is contiguous, summed over the axes for which is_summed, a list, is true.

    The result is flat. Neighbouring axes are merged if both are summed, or neither is.
    """
    groups = [
        (summed, math.prod(n for _, n in group))
        for summed, group in groupby(zip(is_summed, x.shape), itemgetter(0))
    ]
    if groups[-1][0] and groups[-1][1] >= SHORT_ROW:
        rows = x.reshape(-1, groups.pop()[1])
        x = np.empty(len(rows), x.dtype)
        parallel_for(_sum_columns, [rows, x], NS_PER_ADDITION)
    outer = 1
    for summed, n in groups:
        if not summed:
            outer *= n
        elif x.size == outer * n:  # this is the last group
            x = np.add.reduce(x.reshape(outer, n), 1)
        elif n <= SHORT and x.size < MIN_SIZE:
            x = np.add.reduce(x.reshape(outer, n, -1), 1)
        elif n > 1:
            x = _sum_rows_of(x.reshape(outer, n, -1))
    return x.reshape(-1)


def _sum_rows_of(x):
    """The sums over r of x (A, R, C), which is contiguous: (A * C,)."""
    sums, tasks = sum_rows_tasks(x)
    pool.run(pool.call, tasks)
    return sums
