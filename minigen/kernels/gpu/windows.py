"""Windows that slide over images: their values as columns and back, their sums, their maxima.

The columns of convolution have a border of zeros, which is never stored.
"""

from math import gcd, prod

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels import reference
from minigen.kernels.gpu.launching import C_TYPES, dense, launch_items
from minigen.kernels.reference.windows import window_counts


def im2col(x, size, sides, stride, padding, dilation, image_by_image=True):
    """The values under (OH, OW) = sides windows of x (N, C, H, W), x dense.

    (N, C * kh * kw, OH * OW), or with the images side by side (C * kh * kw, N, OH * OW).
    """
    (N, C), K, L = x.shape[:2], x.shape[1] * prod(size), prod(sides)
    cols = array_module(x).empty((N, K, L) if image_by_image else (K, N, L), x.dtype)
    steps = (K * L, L) if image_by_image else (L, N * L)  # to the next image, to the next place
    geometry = *x.shape[1:], *size, *sides, *stride, *padding, *dilation
    _launch("im2col", x, N * C * L, x, cols, *geometry, *steps)
    return cols


def col2im(cols, bias, x, size, sides, stride, padding, dilation):
    """The adjoint of im2col, into x: each value that came from there, plus bias (C,) or None."""
    geometry = *x.shape[1:], *size, *sides, *stride, *padding, *dilation
    apart = (s // gcd(s, d) for s, d in zip(stride, dilation))  # places that see the same position
    _launch("col2im", x, x.size, cols, bias, x, *geometry, *apart)


def sum_windows(x, size, stride):
    if x.dtype not in C_TYPES:
        return reference.sum_windows(x, size, stride)
    x, sides = dense(x), window_counts(x.shape[2:], size, stride)
    y = array_module(x).empty((*x.shape[:2], *sides), x.dtype)
    _launch("sum_windows", x, y.size, x, y, *x.shape[2:], *size, *sides, *stride)
    return y


def sum_windows_vjp(g, size, stride, shape):
    if g.dtype not in C_TYPES:
        return reference.sum_windows_vjp(g, size, stride, shape)
    g = dense(g)
    x = array_module(g).empty((*g.shape[:2], *shape), g.dtype)
    _launch("sum_windows_vjp", g, x.size, g, x, *shape, *size, *g.shape[2:], *stride)
    return x


def max_indices(x, size, stride, padding):
    if x.dtype not in C_TYPES:
        return reference.max_indices(x, size, stride, padding)
    x, whole = dense(x), (n + 2 * p for n, p in zip(x.shape[2:], padding))
    sides = window_counts(whole, size, stride)
    places = array_module(x).empty((*x.shape[:2], *sides), np.int32)
    geometry = *x.shape[2:], *size, *sides, *stride, *padding
    _launch("max_indices", x, places.size, x, places, *geometry)
    return places


def _launch(name, x, items, *args):
    launch_items("windows.cu", name, x.dtype, items, *args)
