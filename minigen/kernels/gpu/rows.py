"""Layer normalization of rows, sums over rows, and additions to rows of a matrix.

Also: how many threads process a row, or a slice over another axis, together.
"""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels import reference
from minigen.kernels.gpu.launching import (
    THREADS,
    dense,
    have_kernel_dtype,
    launch,
    launch_items,
)

INT64 = np.dtype(np.int64)
WARP = 32  # threads

# Estimates, not measured on a GPU.
SHORT = 256  # values of a slice that at most a warp processes; a longer slice gets a block
MAX_THREADS = 512  # of a block: while it waits, others on the same multiprocessor run
MANY_SLICES = 2**14  # that fill a GPU with one thread each
MIN_CHUNK = 512  # rows that a block sums
MAX_BLOCKS = 512  # of a sum over rows: so few chunks that a second launch sums them as one chunk


def launch_slices(file, name, slices, n, *args, inner=1):
    """Launch a kernel on slices of n values with stride `inner`.

    The arguments of `slice_of_thread` are appended to args, which begin with an array, whose dtype
    is that of the kernel.
    """
    lanes = _threads_per_slice(slices, n, inner)
    threads = max(lanes, THREADS) if lanes <= WARP else lanes
    blocks = -(-slices * lanes // threads)
    launch(file, name, args[0].dtype, blocks, *args, slices, n, inner, lanes, threads=threads)


def _threads_per_slice(slices, n, inner):
    """How many threads process a slice together: a power of two within a warp, or a block."""
    if inner > 1 and (n <= WARP or slices >= MANY_SLICES):
        return 1  # adjacent threads then read adjacent slices, which are adjacent in memory
    return _power_of_two(n) if n <= SHORT else threads_for(n)


def _power_of_two(n):
    """The least power of two that is >= n, or 32 (a warp) if that is less."""
    return min(1 << (max(n, 1) - 1).bit_length(), WARP)


def threads_for(n):
    """The threads of a block that processes n values: whole warps, about four values a thread."""
    return min(max(-(-n // (4 * WARP)) * WARP, WARP), MAX_THREADS)


def layer_norm(x, weight, bias, eps):
    """`reference.layer_norm` in three loops over each row and one launch."""
    if not have_kernel_dtype(x, weight, bias):
        return reference.layer_norm(x, weight, bias, eps)
    x, xp = dense(x), array_module(x)
    (rows, n), y = x.shape, xp.empty_like(x)
    mean, rstd = (xp.empty((rows, 1), x.dtype) for _ in range(2))
    args = x, dense(weight), dense(bias), y, mean, rstd, float(eps)
    launch_slices("rows.cu", "layer_norm", rows, n, *args)
    return y, mean, rstd


def layer_norm_vjp(g, x, weight, mean, rstd):
    """`reference.layer_norm_vjp`: one launch for x, one or more for weight and bias."""
    if not have_kernel_dtype(g, x, weight, mean, rstd):
        return reference.layer_norm_vjp(g, x, weight, mean, rstd)
    g, x, weight, mean, rstd = map(dense, (g, x, weight, mean, rstd))
    (rows, n), xp = x.shape, array_module(x)
    gx = xp.empty_like(x)
    launch_slices("rows.cu", "layer_norm_vjp", rows, n, g, x, weight, mean, rstd, gx)
    return gx, *_sums_over_rows("layer_norm_weight", 2, g, x, mean, rstd)


def sum_over(x, axes, keepdims=False):
    """`reference.sum_over`; over the first axis of a matrix in one launch, or two for many rows.

    CuPy's sum has fewer threads there: one block for all sums of a few columns.
    """
    if keepdims or x.ndim != 2 or axes not in (0, (0,)) or not have_kernel_dtype(x):
        return reference.sum_over(x, axes, keepdims)
    return _sums_over_rows("sum_rows", 1, dense(x))[0]


def _sums_over_rows(name, results, x, *others):
    """`results` arrays (n,), which a kernel sums over the rows of x (rows, n) and the others.

    The kernel sums each chunk of rows; if there are several chunks, their sums are summed next.
    """
    (rows, n), xp = x.shape, array_module(x)
    width = _power_of_two(n)
    strips = -(-n // width)
    chunk_rows = max(-(-rows // max(MAX_BLOCKS // max(strips, 1), 1)), MIN_CHUNK)
    chunks = max(-(-rows // chunk_rows), 1)
    sums = [xp.empty((chunks, n) if chunks > 1 else n, x.dtype) for _ in range(results)]
    args = x, *others, *sums, rows, n, chunk_rows, width
    launch("rows.cu", name, x.dtype, strips * chunks, *args, threads=MAX_THREADS)
    return [sum_over(chunk_sums, 0) for chunk_sums in sums] if chunks > 1 else sums


def scatter_rows(out, index, updates):
    """`reference.scatter_rows`: the index is sorted, and each run of equal indices added in order.

    Rows that do not exist are skipped.
    """
    if not have_kernel_dtype(out, updates):
        return reference.scatter_rows(out, index, updates)
    if not updates.size:
        return out
    index, rows = dense(index, INT64), dense(out)
    order = index.argsort(kind="stable")
    args = rows, index, order, dense(updates), *rows.shape, len(index)
    launch_items("rows.cu", "scatter_rows", out.dtype, updates.size, *args)
    if rows is not out:
        out[...] = rows
    return out
