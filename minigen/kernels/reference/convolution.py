"""Convolution: three products, each a matrix product with the values under windows as columns.

Images x are (N, C, H, W), filters w (F, C / groups, kh, kw), results y (N, F, OH, OW); stride,
padding and dilation are pairs (along H, along W), padding is a border of zeros. Columns are made
for as many images at a time as a cache holds.
"""

import math

import numpy as np

from minigen.backend.arrays import array_module, is_cupy
from minigen.kernels.reference.windows import col2im, im2col, window_counts

BLOCK, BLOCK_ON_GPU = 2**20, 2**27  # values of columns made at a time


def convolve(x, w, bias, stride, padding, dilation, groups):
    """y[n, f, u, v] = bias[f] + sum over c, i, j of w[f, c, i, j] * x[n, c, a, b].

    a = u * stride + i * dilation - padding, and b like it; bias may be None.
    """
    N, F = len(x), len(w)
    whole = (n + 2 * p for n, p in zip(x.shape[2:], padding))
    sides = window_counts(whole, w.shape[2:], stride, dilation)
    matrix = w.reshape(groups, F // groups, math.prod(w.shape[1:]))
    y = _empty((N, groups, F // groups, math.prod(sides)), x, w, bias)
    for part in _blocks(x, F, w.shape[2:], sides, groups):
        # (G, F/G, K) @ (n, G, K, OH*OW)
        cols = _columns(x[part], w.shape[2:], sides, stride, padding, dilation, groups)
        y[part] = matrix @ cols
        del cols  # before the next block is made
    return _plus(y.reshape(N, F, *sides), bias)


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    """The gradient of images of that size for the gradient gy of y; plus bias (C,)."""
    N, F, *sides = gy.shape
    C, K = w.shape[1] * groups, math.prod(w.shape[1:])
    matrix = w.reshape(groups, F // groups, K).swapaxes(1, 2)
    gy = gy.reshape(N, groups, F // groups, math.prod(sides))
    gx = _empty((N, C, *size), gy, w, bias)
    whole = tuple(n + 2 * p for n, p in zip(size, padding))
    inside = tuple(slice(p, p + n) for n, p in zip(size, padding))
    for part in _blocks(gx, F, w.shape[2:], sides, groups):
        cols = (matrix @ gy[part]).reshape(-1, C, *w.shape[2:], *sides)
        if _pointwise(w.shape[2:], stride, sides, whole):
            images = cols.reshape(-1, C, *whole)
        else:
            images = col2im(cols, whole, stride, dilation)
        gx[part] = images[:, :, *inside]
        del cols, images
    return _plus(gx, bias)


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    """The gradient of filters of that size for the gradient gy of y."""
    N, F, *sides = gy.shape
    C = x.shape[1] // groups
    gw = _empty((groups, F // groups, C * math.prod(size)), gy, x)
    gw[...] = 0
    gy = gy.reshape(N, groups, F // groups, math.prod(sides))
    for part in _blocks(x, F, size, sides, groups):
        # (n, G, F/G, OH*OW) @ (n, G, OH*OW, K)
        cols = _columns(x[part], size, sides, stride, padding, dilation, groups)
        gw += (gy[part] @ cols.swapaxes(2, 3)).sum(0)
        del cols
    return gw.reshape(F, C, *size)


def _empty(shape, *arrays):
    dtype = np.result_type(*(a.dtype for a in arrays if a is not None))
    return array_module(arrays[0]).empty(shape, dtype)


def _plus(y, bias):
    if bias is not None:
        y += bias[:, None, None]
    return y


def _columns(x, size, sides, stride, padding, dilation, groups):
    """The values under each window of x: (N, groups, C / groups * kh * kw, OH * OW)."""
    N, C = x.shape[:2]
    if any(padding):
        x = array_module(x).pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    if not _pointwise(size, stride, sides, x.shape[2:]):
        seen = (
            slice((n - 1) * s + d * (k - 1) + 1)
            for n, s, d, k in zip(sides, stride, dilation, size)
        )
        x = im2col(x[:, :, *seen], size, stride, dilation)
    return x.reshape(N, groups, C // groups * math.prod(size), math.prod(sides))


def _pointwise(size, stride, sides, whole):
    """Whether windows are single places, all of them: images are then their own columns."""
    return tuple(size) == tuple(stride) == (1, 1) and tuple(sides) == tuple(whole)


def _blocks(x, F, size, sides, groups):
    """Slices of the batch, so long that neither columns nor products of one outgrow a block."""
    N, C = x.shape[:2]
    each = C * math.prod(size) * max(math.prod(sides), F // groups, 1)
    step = max((BLOCK_ON_GPU if is_cupy(x) else BLOCK) // max(each, 1), 1)
    return [slice(start, start + step) for start in range(0, N, step)]
