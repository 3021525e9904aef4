"""Convolution: matrix products on cuBLAS, with the values under windows as columns.

Columns are made for as many images at a time as `BLOCK_ON_GPU` has room for. A convolution with
windows of one place, all of them, needs none.
"""

from math import prod

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense, result_dtype
from minigen.kernels.gpu.products import multiply
from minigen.kernels.gpu.windows import col2im, im2col
from minigen.kernels.reference.convolution import BLOCK_ON_GPU
from minigen.kernels.reference.windows import window_counts


def convolve(x, w, bias, stride, padding, dilation, groups):
    x, w, bias = _alike(x, w, bias)
    (N, C), F, size = x.shape[:2], len(w), w.shape[2:]
    whole = (n + 2 * p for n, p in zip(x.shape[2:], padding))
    sides = window_counts(whole, size, stride, dilation)
    y = _started(x, (N, F, *sides), bias)
    K, L = C // groups * prod(size), prod(sides)
    filters, maps = w.reshape(groups, F // groups, K), y.reshape(N, groups, F // groups, L)
    direct = _are_columns(size, padding, sides, x.shape[2:])
    for part in _blocks(N, groups * K * L):
        cols = x[part] if direct else im2col(x[part], size, sides, stride, padding, dilation)
        # (G, F/G, K) @ (n, G, K, OH*OW)
        cols = cols.reshape(len(cols), groups, K, L)
        _multiply(filters, cols, maps[part], accumulate=bias is not None)
        del cols  # before the next block is made
    return y


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    gy, w, bias = _alike(gy, w, bias)
    (N, F, *sides), (_, C, *kernel) = gy.shape, w.shape
    K, L = C * prod(kernel), prod(sides)
    filters = w.reshape(groups, F // groups, K).swapaxes(1, 2)
    maps = gy.reshape(N, groups, F // groups, L)
    if _are_columns(kernel, padding, sides, size):
        gx = _started(gy, (N, C * groups, *size), bias)
        _multiply(filters, maps, gx.reshape(N, groups, K, L), accumulate=bias is not None)
        return gx
    xp = array_module(gy)
    gx = xp.empty((N, C * groups, *size), gy.dtype)
    for part in _blocks(N, groups * K * L):
        # (G, K, F/G) @ (n, G, F/G, OH*OW)
        cols = xp.empty((len(maps[part]), groups, K, L), gy.dtype)
        _multiply(filters, maps[part], cols)
        col2im(cols, bias, gx[part], kernel, sides, stride, padding, dilation)
        del cols
    return gx


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    gy, x = _alike(gy, x)
    (N, F, *sides), C, xp = gy.shape, x.shape[1] // groups, array_module(gy)
    K, L = C * prod(size), prod(sides)
    gw = xp.zeros((groups, F // groups, K), gy.dtype)
    for part in _blocks(N, groups * K * L):
        # The images of a block lie side by side, and one product sums over them too:
        # (G, F/G, n*OH*OW) @ (G, n*OH*OW, K)
        cols = im2col(x[part], size, sides, stride, padding, dilation, image_by_image=False)
        maps = xp.ascontiguousarray(gy[part].swapaxes(0, 1))
        lines = maps.shape[1] * L
        cols = cols.reshape(groups, K, lines).swapaxes(1, 2)
        multiply(maps.reshape(groups, F // groups, lines), cols, gw, accumulate=True)
        del cols
    return gw.reshape(F, C, *size)


def _alike(*arrays):
    """The arrays in their common dtype, each dense."""
    dtype = result_dtype(*arrays)
    return [dense(x, dtype) for x in arrays]


def _started(x, shape, bias):
    """Memory for products, which holds the bias where there is one, for them to be added to."""
    y = array_module(x).empty(shape, x.dtype)
    if bias is not None:
        y[...] = bias[:, None, None]
    return y


def _are_columns(size, padding, sides, places):
    """Whether images are the columns themselves: of windows that are single places, all of them."""
    return tuple(size) == (1, 1) and not any(padding) and tuple(sides) == tuple(places)


def _blocks(N, each):
    """Slices of the batch, whose columns are so many values for each image."""
    step = max(BLOCK_ON_GPU // max(each, 1), 1)
    return [slice(start, start + step) for start in range(0, N, step)]


def _multiply(filters, x, out, accumulate=False):
    """out = filters @ x or out += ...: (G, M, K) with each of (n, G, K, L).

    A call of cuBLAS goes through the last side of stacks: through whichever is longer.
    """
    filters = filters[None]
    if len(x) > filters.shape[1]:
        filters, x, out = (a.swapaxes(0, 1) for a in (filters, x, out))
    multiply(filters, x, out, accumulate)
