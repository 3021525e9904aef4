"""Windows that slide over images: columns and back, sums, and the indices of their maxima.

The convolution columns include the zeros of the padding; the padded image is never stored. Images
are (N, C, H, W). Size, stride, padding and dilation are pairs, for H and for W.
"""

from math import gcd, prod
from typing import NamedTuple

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels import reference
from minigen.kernels.gpu.launching import C_TYPES, dense, launch_items
from minigen.kernels.reference.windows import window_counts


class Axis(NamedTuple):
    """`Axis` of windows.cu: one axis of images and of the windows over them."""

    length: int
    windows: int
    kernel: int
    stride: int
    padding: int
    dilation: int


def im2col(x, size, counts, stride, padding, dilation, image_by_image=True):
    """The values under the windows of x (N, C, H, W), which is dense; counts is (OH, OW).

    (N, C * kh * kw, OH * OW), or (C * kh * kw, N, OH * OW) if not image_by_image.
    """
    (N, C), K, L = x.shape[:2], x.shape[1] * prod(size), prod(counts)
    cols = array_module(x).empty((N, K, L) if image_by_image else (K, N, L), x.dtype)
    strides = (K * L, L) if image_by_image else (L, N * L)  # of the axes N and K
    axes = _axes(x.shape[2:], counts, size, stride, padding, dilation)
    _launch("im2col", x, N * C * L, x, cols, C, *axes, *strides)
    return cols


def col2im(cols, bias, x, size, counts, stride, padding, dilation):
    """The adjoint of im2col, applied to cols and written into x (N, C, H, W).

    bias (C,), or None, is added.
    """
    axes = _axes(x.shape[2:], counts, size, stride, padding, dilation)
    # Every `step`-th window covers a pixel: struct Cover in windows.cu.
    steps = (axis.stride // gcd(axis.stride, axis.dilation) for axis in axes)
    _launch("col2im", x, x.size, cols, bias, x, x.shape[1], *axes, *steps)


def sum_windows(x, size, stride):
    """`reference.sum_windows`, a thread for each window."""
    if x.dtype not in C_TYPES:
        return reference.sum_windows(x, size, stride)
    x, counts = dense(x), window_counts(x.shape[2:], size, stride)
    y = array_module(x).empty((*x.shape[:2], *counts), x.dtype)
    _launch("sum_windows", x, y.size, x, y, *_axes(x.shape[2:], counts, size, stride))
    return y


def sum_windows_vjp(g, size, stride, shape):
    """`reference.sum_windows_vjp`, a thread for each value of the image."""
    if g.dtype not in C_TYPES:
        return reference.sum_windows_vjp(g, size, stride, shape)
    g = dense(g)
    x = array_module(g).empty((*g.shape[:2], *shape), g.dtype)
    _launch("sum_windows_vjp", g, x.size, g, x, *_axes(shape, g.shape[2:], size, stride))
    return x


def max_indices(x, size, stride, padding):
    """`reference.max_indices`, a thread for each window."""
    if x.dtype not in C_TYPES:
        return reference.max_indices(x, size, stride, padding)
    x, padded = dense(x), (n + 2 * p for n, p in zip(x.shape[2:], padding))
    counts = window_counts(padded, size, stride)
    indices = array_module(x).empty((*x.shape[:2], *counts), np.int32)
    axes = _axes(x.shape[2:], counts, size, stride, padding)
    _launch("max_indices", x, indices.size, x, indices, *axes)
    return indices


def _axes(shape, counts, size, stride, padding=(0, 0), dilation=(1, 1)):
    """The two axes of images of shape (H, W) with (OH, OW) = counts windows."""
    return [Axis(*fields) for fields in zip(shape, counts, size, stride, padding, dilation)]


def _launch(name, x, items, *args):
    """Launch a kernel of windows.cu for the dtype of x, with a thread for each item."""
    launch_items("windows.cu", name, x.dtype, items, *args)
