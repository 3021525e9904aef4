"""Sliding windows over images: columns (im2col), sums, and indices of maxima.

Shapes: images (N, C, H, W); OH x OW windows of kh x kw values. size = (kh, kw); stride, dilation
and padding are pairs, (along H, along W). Element (i, j) of a window is one of its kh * kw values.
"""

from itertools import product

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.reference.sums import add_at, wide_if_long


def window_counts(image_size, size, stride, dilation=(1, 1)):
    """(OH, OW), the numbers of windows: OH = (H - dilation * (kh - 1) - 1) // stride + 1.

    image_size = (H, W), including the padding.
    """
    axes = zip(image_size, size, stride, dilation)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)


def im2col(x, size, stride, dilation):
    """The values under each window: cols (N, C, kh, kw, OH, OW) of x (N, C, H, W).

    cols[n, c, i, j, u, v] = x[n, c, u * stride + i * dilation, v * stride + j * dilation].
    """
    counts = window_counts(x.shape[2:], size, stride, dilation)
    element_strides = [s * n for n, s in zip(x.strides[2:], dilation)]  # in bytes
    window_strides = [s * n for n, s in zip(x.strides[2:], stride)]
    xp, shape = array_module(x), (*x.shape[:2], *size, *counts)
    if 0 in shape:
        return xp.zeros(shape, x.dtype)
    strides = (*x.strides[:2], *element_strides, *window_strides)
    view = xp.lib.stride_tricks.as_strided(x, shape, strides)
    return xp.ascontiguousarray(view)


def col2im(cols, image_size, stride, dilation):
    """The adjoint of im2col: x (N, C, H, W), the sums of the values of cols from each pixel.

    cols (N, C, kh, kw, OH, OW), image_size = (H, W).
    """
    x = array_module(cols).zeros((*cols.shape[:2], *image_size), cols.dtype)
    for element in product(*map(range, cols.shape[2:4])):
        values = cols[..., *element, :, :]  # (N, C, OH, OW)
        x[_pixels_under(element, cols.shape[4:], stride, dilation)] += values
    return x


def _pixels_under(element, counts, stride, dilation):
    """The index of images (N, C, H, W) that selects the pixel under one element of every window.

    element (i, j); counts (OH, OW). Shape of the selection: (N, C, OH, OW).
    """
    starts = (i * d for i, d in zip(element, dilation))
    return (..., *(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, stride, counts)))


def sum_windows(x, size, stride):
    """y[n, c, u, v], the sum of x under window (u, v): x (N, C, H, W), y (N, C, OH, OW).

    Rows are added first, then columns: kh + kw additions for each window instead of kh * kw.
    """
    counts, dtype = window_counts(x.shape[2:], size, stride), x.dtype
    for axis in (0, 1):
        shape = (*x.shape[: 2 + axis], counts[axis], *x.shape[3 + axis :])
        y = array_module(x).zeros(shape, wide_if_long(dtype, size))
        for i in range(size[axis]):
            y += x[_along(axis, i, counts[axis], stride[axis])]
        x = y
    return x.astype(dtype, copy=False)


def sum_windows_vjp(g, size, stride, image_size):
    """The adjoint of sum_windows: x (N, C, H, W), with g (N, C, OH, OW) added under each window.

    image_size = (H, W).
    """
    dtype = g.dtype
    for axis in (1, 0):
        n, shape = g.shape[2 + axis], (*g.shape[: 2 + axis], image_size[axis], *g.shape[3 + axis :])
        x = array_module(g).zeros(shape, wide_if_long(dtype, size))
        for i in range(size[axis]):
            x[_along(axis, i, n, stride[axis])] += g
        g = x
    return g.astype(dtype, copy=False)


def _along(axis, i, count, stride):
    """The index of images (N, C, H, W): `count` rows (axis 0) or columns (1) from number i on."""
    return (slice(None),) * (2 + axis) + (slice(i, i + stride * (count - 1) + 1, stride),)


def max_indices(x, size, stride, padding):
    """The index h * W + w of the maximum under each window of x (N, C, H, W): int32 (N, C, OH, OW).

    The first of equal maxima; the last NaN if there is one. Padding, which is less than a window,
    is never the maximum.
    """
    xp, (n, c, *image_size) = array_module(x), x.shape
    axes = zip(image_size, size, stride, padding)
    starts = [xp.arange((m + 2 * p - k) // s + 1) * s - p for m, k, s, p in axes]
    indices = xp.full((n, c, *map(len, starts)), -1, np.int32)
    best = xp.zeros(indices.shape, x.dtype)
    for i, j in product(*map(range, size)):
        h, w = (starts[0] + i)[:, None], starts[1] + j
        inside = (h >= 0) & (h < image_size[0]) & (w >= 0) & (w < image_size[1])
        h, w = xp.clip(h, 0, image_size[0] - 1), xp.clip(w, 0, image_size[1] - 1)
        value = x[:, :, h, w]
        better = inside & ((value > best) | (value != value) | (indices < 0))
        indices = xp.where(better, (h * image_size[1] + w).astype(np.int32), indices)
        best = xp.where(better, value, best)
    return indices


def take_along_rows(x, index):
    """y[m, p] = x[m, index[m, p]]: x (M, S), index (M, P) in [0, S), y (M, P)."""
    return array_module(x).take_along_axis(x, index, 1)


def scatter_along_rows(g, index, size):
    """The adjoint of take_along_rows: x[m, index[m, p]] += g[m, p], for p in ascending order.

    g and index (M, P), index in [0, size), x (M, size).
    """
    xp = array_module(g)
    x = xp.zeros((len(g), size), g.dtype)
    add_at(x, (xp.arange(len(g))[:, None], index), g)
    return x
