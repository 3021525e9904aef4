"""Work on the rows of a matrix, and how many threads share a row."""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import THREADS, alike, dense, launch, launch_items
from minigen.kernels.reference import rows as reference

INT64 = np.dtype(np.int64)
SHORT = 256  # values of a slice that a warp takes, or a part of one; longer ones get a block
BLOCK = 512  # threads of one at most: other blocks beside it work while it waits
MANY = 2**14  # slices that fill a GPU with one thread each
CHUNK = 512  # rows that a block sums at least, and
BLOCKS = 512  # that do so at most: the sums of chunks are then one chunk


def launch_slices(file, name, slices, n, *args, inner=1):
    """Run a kernel on slices of n values, `inner` apart; what `slice_of` needs comes last.

    args begin with an array, whose dtype is that of the kernel.
    """
    lanes = _lanes(slices, n, inner)
    threads = max(lanes, THREADS) if lanes <= 32 else lanes
    blocks = -(-slices * lanes // threads)
    launch(file, name, args[0].dtype, blocks, *args, slices, n, inner, lanes, threads=threads)


def _lanes(slices, n, inner):
    """How many threads share a slice: a power of two within a warp, or a block."""
    if inner > 1 and (n <= 32 or slices >= MANY):
        return 1  # neighbours take neighbours
    return _power_of_two(n) if n <= SHORT else threads_for(n)


def _power_of_two(n):
    """The first that is not less than n; within a warp."""
    return min(1 << (max(n, 1) - 1).bit_length(), 32)


def threads_for(n):
    """The threads of a block that works on n values, about four each."""
    return min(max(-(-n // 128) * 32, 32), BLOCK)


def layer_norm(x, weight, bias, eps):
    if not alike(x, weight, bias):
        return reference.layer_norm(x, weight, bias, eps)
    x, xp = dense(x), array_module(x)
    (rows, n), y = x.shape, xp.empty_like(x)
    mean, rstd = (xp.empty((rows, 1), x.dtype) for _ in range(2))
    args = x, dense(weight), dense(bias), y, mean, rstd, float(eps)
    launch_slices("rows.cu", "layer_norm", rows, n, *args)
    return y, mean, rstd


def layer_norm_vjp(g, x, weight, mean, rstd):
    if not alike(g, x, weight, mean, rstd):
        return reference.layer_norm_vjp(g, x, weight, mean, rstd)
    g, x, weight, mean, rstd = map(dense, (g, x, weight, mean, rstd))
    (rows, n), xp = x.shape, array_module(x)
    gx = xp.empty_like(x)
    launch_slices("rows.cu", "layer_norm_vjp", rows, n, g, x, weight, mean, rstd, gx)
    return gx, *_summed("layer_norm_weight", 2, g, x, mean, rstd)


def sum_rows(x):
    return _summed("sum_rows", 1, dense(x))[0] if alike(x) else reference.sum_rows(x)


def _summed(name, results, x, *others):
    """What a kernel sums over the rows of x: `results` arrays (n,); many rows in two steps."""
    (rows, n), xp = x.shape, array_module(x)
    width = _power_of_two(n)
    tiles = -(-n // width)
    chunk = max(-(-rows // max(BLOCKS // max(tiles, 1), 1)), CHUNK)
    chunks = max(-(-rows // chunk), 1)
    sums = [xp.empty((chunks, n) if chunks > 1 else n, x.dtype) for _ in range(results)]
    sizes = rows, n, chunk, width
    launch("rows.cu", name, x.dtype, tiles * chunks, x, *others, *sums, *sizes, threads=BLOCK)
    return [sum_rows(parts) for parts in sums] if chunks > 1 else sums


def scatter_rows(out, index, updates):
    if not alike(out, updates):
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
