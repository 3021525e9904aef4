"""Convolution by matrix products with columns (im2col: Chellapilla et al. 2006).

Shapes: images x (N, C, H, W), filters w (F, C / G, kh, kw) for G groups, results y (N, F, OH, OW).
stride, padding and dilation are pairs, (along H, along W); padding is a border of zeros. The
columns hold the values of x under each window; they are computed for a block of images at a time.
"""

import math

import numpy as np

from minigen.backend.arrays import array_module, is_cupy
from minigen.kernels.reference.products import matmul
from minigen.kernels.reference.windows import col2im, im2col, window_counts

# The most values that the columns of a block of images may have; a block has at least one image.
BLOCK, BLOCK_ON_GPU = 2**20, 2**27


def convolve(x, w, bias, stride, padding, dilation, groups):
    """y[n, f, u, v] = bias[f] + sum over c, i, j of w[f, c, i, j] * x[n, c, a, b].

    a = u * stride[0] + i * dilation[0] - padding[0], b likewise from v and j; x is 0 outside. With
    groups, c runs over the C / groups channels of the group of f. x (N, C, H, W),
    w (F, C / groups, kh, kw), bias (F,) or None, y (N, F, OH, OW).
    """
    N, F = len(x), len(w)
    padded_size = (n + 2 * p for n, p in zip(x.shape[2:], padding))
    out_size = window_counts(padded_size, w.shape[2:], stride, dilation)
    matrix = w.reshape(groups, F // groups, math.prod(w.shape[1:]))
    y = _empty((N, groups, F // groups, math.prod(out_size)), x, w, bias)
    for part in _blocks(x, F, w.shape[2:], out_size, groups):
        # (G, F/G, K) @ (n, G, K, OH*OW)
        cols = _columns(x[part], w.shape[2:], out_size, stride, padding, dilation, groups)
        y[part] = matrix @ cols
        del cols  # before those of the next block are allocated
    return _add_bias(y.reshape(N, F, *out_size), bias)


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    """The VJP of `convolve` in x, for the cotangent gy of y, plus bias: gx (N, C, H, W).

    gx[n, c, h, w'] = bias[c] + sum over f, i, j, u, v of w[f, c, i, j] * gy[n, f, u, v], for the
    windows (u, v) whose element (i, j) is at (h, w'): u * stride + i * dilation - padding = h, and
    likewise w'. gy (N, F, OH, OW), where OH and OW may be smaller than the images allow;
    w (F, C / groups, kh, kw), bias (C,) or None, size = (H, W).
    """
    N, F, *out_size = gy.shape
    C, K = w.shape[1] * groups, math.prod(w.shape[1:])
    matrix = w.reshape(groups, F // groups, K).swapaxes(1, 2)
    gy = gy.reshape(N, groups, F // groups, math.prod(out_size))
    gx = _empty((N, C, *size), gy, w, bias)
    padded_size = tuple(n + 2 * p for n, p in zip(size, padding))
    inside = tuple(slice(p, p + n) for n, p in zip(size, padding))
    for part in _blocks(gx, F, w.shape[2:], out_size, groups):
        # (G, K, F/G) @ (n, G, F/G, OH*OW)
        cols = (matrix @ gy[part]).reshape(-1, C, *w.shape[2:], *out_size)
        if _images_are_columns(w.shape[2:], stride, out_size, padded_size):
            images = cols.reshape(-1, C, *padded_size)
        else:
            images = col2im(cols, padded_size, stride, dilation)
        gx[part] = images[:, :, *inside]
        del cols, images
    return _add_bias(gx, bias)


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    """The VJP of `convolve` in w, for the cotangent gy of y: gw (F, C / groups, kh, kw).

    gw[f, c, i, j] = sum over n, u, v of gy[n, f, u, v] * x[n, c, a, b], with a and b as in
    `convolve`. gy (N, F, OH, OW), x (N, C, H, W), size = (kh, kw).
    """
    N, F, *out_size = gy.shape
    C = x.shape[1] // groups
    dtype = np.result_type(gy, x)
    gw = array_module(gy).zeros((groups, F // groups, C * math.prod(size)), np.float64)
    gy = gy.reshape(N, groups, F // groups, math.prod(out_size))
    for part in _blocks(x, F, size, out_size, groups):
        # (n, G, F/G, OH*OW) @ (n, G, OH*OW, K)
        cols = _columns(x[part], size, out_size, stride, padding, dilation, groups)
        gw += matmul(gy[part], cols.swapaxes(2, 3)).sum(0, dtype=np.float64)
        del cols
    return gw.reshape(F, C, *size).astype(dtype, copy=False)


def _empty(shape, *arrays):
    """An uninitialized array, in the dtype that arrays, each an array or None, promote to."""
    dtype = np.result_type(*(a.dtype for a in arrays if a is not None))
    return array_module(arrays[0]).empty(shape, dtype)


def _add_bias(y, bias):
    """y (N, F, OH, OW) plus bias (F,), in place; bias may be None."""
    if bias is not None:
        y += bias[:, None, None]
    return y


def _columns(x, size, out_size, stride, padding, dilation, groups):
    """The values under each window of x (N, C, H, W): (N, G, C / G * kh * kw, OH * OW)."""
    N, C = x.shape[:2]
    if any(padding):
        x = array_module(x).pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    if not _images_are_columns(size, stride, out_size, x.shape[2:]):
        # x up to the end of the last window: OH and OW may be smaller than the images allow.
        covered = (
            slice((n - 1) * s + d * (k - 1) + 1)
            for n, s, d, k in zip(out_size, stride, dilation, size)
        )
        x = im2col(x[:, :, *covered], size, stride, dilation)
    return x.reshape(N, groups, C // groups * math.prod(size), math.prod(out_size))


def _images_are_columns(size, stride, out_size, padded_size):
    """Whether columns are equal to the images: filters of 1 x 1, stride 1, every pixel a window."""
    return tuple(size) == tuple(stride) == (1, 1) and tuple(out_size) == tuple(padded_size)


def _blocks(x, F, size, out_size, groups):
    """Slices of the batch whose columns have at most BLOCK values, or which are one image.

    x (N, C, H, W), F filters with size = (kh, kw), out_size = (OH, OW).
    """
    N, C = x.shape[:2]
    values = C * math.prod(size) * max(math.prod(out_size), F // groups, 1)  # for one image
    step = max((BLOCK_ON_GPU if is_cupy(x) else BLOCK) // max(values, 1), 1)
    return [slice(start, start + step) for start in range(0, N, step)]
