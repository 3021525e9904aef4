"""Sliding windows over images: indices of their maxima; take and scatter along rows."""

import math

import numpy as np

from minigen.kernels.cpu.compiling import U, compiled
from minigen.parallel import pool
from minigen.parallel.pieces import shares


def _parallel_over_rows(kernel, nanoseconds, arrays, *constants):
    """kernel(*arrays, *constants), with axis 0 of all arrays cut into tasks for the pool.

    nanoseconds: the estimated time of one thread for the whole.
    """
    arrays = [np.ascontiguousarray(x) for x in arrays]
    slices = shares(len(arrays[0]), nanoseconds)
    pool.run(kernel, [(*(x[s] for x in arrays), *constants) for s in slices])


@compiled
def _max_indices(x, indices, size, stride, padding):
    """`reference.max_indices` for images x (M, H, W), written to indices (M, OH, OW)."""
    images, h, w = x.shape
    oh, ow = indices.shape[1:]
    for m in range(images):
        for u in range(oh):
            top = u * stride[0] - padding[0]
            first, last = max(top, 0), min(top + size[0], h)
            for v in range(ow):
                edge = v * stride[1] - padding[1]
                left, right = max(edge, 0), min(edge + size[1], w)
                index = first * w + left
                best = x[m, first, left]
                for i in range(first, last):
                    for j in range(left, right):
                        value = x[m, i, j]
                        better = (value > best) | (value != value)  # with `or`, a branch
                        best = value if better else best
                        index = i * w + j if better else index
                indices[m, u, v] = index


@compiled
def _max_indices_2x2(x, indices):
    """`_max_indices` for windows of 2 x 2 with stride 2 and no padding.

    The plain way, a loop over the windows, reads x at every other column, which LLVM does not
    vectorize. Here a vectorized loop finds the maximum of the window at every pixel of an image,
    four times as many windows as needed, and a second loop takes every other row and column.
    """
    images, h, w = x.shape
    oh, ow = indices.shape[1:]
    values, found = x.reshape(-1), indices.reshape(-1)
    windows = h * w - w - 1  # those whose four pixels are in the image's memory
    # The distances of a window's four pixels from its first one.
    first, right, below, corner = np.int32(0), np.int32(1), np.int32(w), np.int32(w + 1)
    best = np.empty(windows, x.dtype)  # not read; without it LLVM makes branches instead of selects
    offset = np.empty(windows, np.int32)
    for m in range(images):
        pixels = values[m * h * w : (m + 1) * h * w]
        at_right, at_below, at_corner = pixels[1:], pixels[w:], pixels[w + 1 :]
        for i in range(U(windows)):
            a, b, c, d = pixels[i], at_right[i], at_below[i], at_corner[i]
            better = (b > a) | (b != b)
            a, offset_a = b if better else a, right if better else first
            better = (d > c) | (d != d)
            c, offset_c = d if better else c, corner if better else below
            better = (c > a) | (c != c)
            best[i], offset[i] = c if better else a, offset_c if better else offset_a
        for u in range(oh):
            source, target = 2 * u * w, U((m * oh + u) * ow)
            for v in range(U(ow)):
                i = U(source) + U(2) * v
                found[target + v] = offset[i] + np.int32(i)


def max_indices(x, size, stride, padding):
    """`reference.max_indices`, in tasks of images."""
    n, c, h, w = x.shape
    axes = zip((h, w), size, stride, padding)
    oh, ow = ((m + 2 * p - k) // s + 1 for m, k, s, p in axes)
    indices = np.empty((n, c, oh, ow), np.int32)
    arrays = x.reshape(n * c, h, w), indices.reshape(n * c, oh, ow)
    if indices.size and size == stride == (2, 2) and padding == (0, 0):
        _parallel_over_rows(_max_indices_2x2, 2 * indices.size, arrays)
    else:
        nanoseconds = 5 * indices.size * math.prod(size)
        _parallel_over_rows(_max_indices, nanoseconds, arrays, size, stride, padding)
    return indices


@compiled
def _take_along_rows(x, index, y):
    """`reference.take_along_rows`, written to y (M, P)."""
    for m in range(index.shape[0]):
        for p in range(index.shape[1]):
            y[m, p] = x[m, np.uint64(index[m, p])]


def take_along_rows(x, index):
    """`reference.take_along_rows`, in tasks of rows."""
    y = np.empty(index.shape, x.dtype)
    _parallel_over_rows(_take_along_rows, 2 * y.size, (x, index, y))
    return y


@compiled
def _scatter_along_rows(g, index, x):
    """`reference.scatter_along_rows`, written to x (M, S)."""
    total = np.zeros(x.shape[1], np.float64)  # of one row, so that it stays in the cache
    for m in range(index.shape[0]):
        for p in range(index.shape[1]):
            total[U(index[m, p])] += g[m, p]
        for s in range(U(total.size)):
            x[m, s] = total[s]
            total[s] = 0


def scatter_along_rows(g, index, size):
    """`reference.scatter_along_rows`, in tasks of rows."""
    x = np.empty((len(g), size), g.dtype)
    _parallel_over_rows(_scatter_along_rows, 2 * g.size + x.size, (g, index, x))
    return x
