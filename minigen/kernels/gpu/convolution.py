"""Convolution as matrix products on cuBLAS, with the values under windows as columns (im2col).

Columns are computed for a block of images at a time, as many as fit in `BLOCK_ON_GPU` values. A
1 x 1 convolution with a window at each pixel needs no columns: the images are their own columns.
"""

from math import prod

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense, result_dtype
from minigen.kernels.gpu.products import multiply
from minigen.kernels.gpu.windows import col2im, im2col
from minigen.kernels.reference.convolution import BLOCK_ON_GPU
from minigen.kernels.reference.windows import window_counts


def convolve(x, w, bias, stride, padding, dilation, groups):
    """`reference.convolve`: im2col and one product for each block of images."""
    x, w, bias = _in_common_dtype(x, w, bias)
    (N, C), F, size = x.shape[:2], len(w), w.shape[2:]
    padded = (n + 2 * p for n, p in zip(x.shape[2:], padding))
    counts = window_counts(padded, size, stride, dilation)
    y = _filled_with_bias(x, (N, F, *counts), bias)
    K, L = C // groups * prod(size), prod(counts)
    filters, maps = w.reshape(groups, F // groups, K), y.reshape(N, groups, F // groups, L)
    direct = _are_columns(size, padding, counts, x.shape[2:])
    for part in _blocks(N, groups * K * L):
        cols = x[part] if direct else im2col(x[part], size, counts, stride, padding, dilation)
        # (G, F/G, K) @ (n, G, K, OH*OW)
        cols = cols.reshape(len(cols), groups, K, L)
        _multiply(filters, cols, maps[part], accumulate=bias is not None)
        del cols  # so that the next block can use its memory
    return y


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    """`reference.convolve_transpose`: one product and col2im for each block of images."""
    gy, w, bias = _in_common_dtype(gy, w, bias)
    (N, F, *counts), (_, C, *kernel) = gy.shape, w.shape
    K, L = C * prod(kernel), prod(counts)
    filters = w.reshape(groups, F // groups, K).swapaxes(1, 2)
    maps = gy.reshape(N, groups, F // groups, L)
    if _are_columns(kernel, padding, counts, size):
        gx = _filled_with_bias(gy, (N, C * groups, *size), bias)
        _multiply(filters, maps, gx.reshape(N, groups, K, L), accumulate=bias is not None)
        return gx
    xp = array_module(gy)
    gx = xp.empty((N, C * groups, *size), gy.dtype)
    for part in _blocks(N, groups * K * L):
        # (G, K, F/G) @ (n, G, F/G, OH*OW)
        cols = xp.empty((len(maps[part]), groups, K, L), gy.dtype)
        _multiply(filters, maps[part], cols)
        col2im(cols, bias, gx[part], kernel, counts, stride, padding, dilation)
        del cols
    return gx


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    """`reference.convolve_weight`: im2col and one product for each block of images."""
    gy, x = _in_common_dtype(gy, x)
    (N, F, *counts), C, xp = gy.shape, x.shape[1] // groups, array_module(gy)
    K, L = C * prod(size), prod(counts)
    gw = xp.zeros((groups, F // groups, K), gy.dtype)
    for part in _blocks(N, groups * K * L):
        # The columns of all images of a block form one matrix, so that the product also sums over
        # the images: (G, F/G, n*OH*OW) @ (G, n*OH*OW, K)
        cols = im2col(x[part], size, counts, stride, padding, dilation, image_by_image=False)
        maps = xp.ascontiguousarray(gy[part].swapaxes(0, 1))
        windows = maps.shape[1] * L
        cols = cols.reshape(groups, K, windows).swapaxes(1, 2)
        multiply(maps.reshape(groups, F // groups, windows), cols, gw, accumulate=True)
        del cols
    return gw.reshape(F, C, *size)


def _in_common_dtype(*arrays):
    """The arrays in the dtype to which NumPy promotes them, C-contiguous; None stays None."""
    dtype = result_dtype(*arrays)
    return [dense(x, dtype) for x in arrays]


def _filled_with_bias(x, shape, bias):
    """A new array of a shape (N, F, OH, OW), filled with bias (F,), or not filled if it is None."""
    y = array_module(x).empty(shape, x.dtype)
    if bias is not None:
        y[...] = bias[:, None, None]
    return y


def _are_columns(size, padding, counts, shape):
    """Whether images of shape (H, W) are their own columns: a 1 x 1 window at each pixel."""
    return tuple(size) == (1, 1) and not any(padding) and tuple(counts) == tuple(shape)


def _blocks(N, values):
    """Slices of a batch of N images; the columns of an image have that many values."""
    step = max(BLOCK_ON_GPU // max(values, 1), 1)
    return [slice(start, start + step) for start in range(0, N, step)]


def _multiply(filters, x, out, accumulate=False):
    """out = filters @ x or out += filters @ x: (G, M, K) @ (n, G, K, L) = (n, G, M, L).

    One call of cuBLAS covers the last of the leading axes, so the longer of n and G comes last.
    """
    filters = filters[None]
    if len(x) > filters.shape[1]:
        filters, x, out = (a.swapaxes(0, 1) for a in (filters, x, out))
    multiply(filters, x, out, accumulate)
