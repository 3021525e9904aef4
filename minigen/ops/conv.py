"""Convolution: three products of images and filters, each of whose derivatives are the others.

With images x (N, C, H, W), filters w (F, C / groups, kh, kw) and y = x * w (N, F, OH, OW), the
product is linear in x and in w. So the gradient of x is a product of that of y with w, and the
gradient of w one of that of y with x: the three are closed under differentiation.

Each is a matrix product with the values under each window laid out as columns (im2col). Columns
are made anew for each product, for as many images at a time as a cache holds, and never saved.
"""

import math

import numpy as np

from minigen import kernels
from minigen.backend import Array, array_module, checked, floating, is_cupy
from minigen.errors import ShapeError
from minigen.ops.elementwise import add
from minigen.ops.joining import crop, pad
from minigen.ops.shape import reshape
from minigen.ops.windows import Sides, check_room, padded, pair, window_counts
from minigen.primitives import composite, primitive

BLOCK, BLOCK_ON_GPU = 2**20, 2**27  # values of columns made at a time


# ------------------------------------------------------------------------------ the three


@primitive(
    lambda g, y, x, w, **how: _convolve_transpose(g, w, size=x.shape[2:], **how),
    lambda g, y, x, w, **how: _convolve_weight(g, x, size=w.shape[2:], **how),
    saves=("w", "x"),
    prepare=floating,
)
def _convolve(x, w, *, stride, dilation, groups):
    """y, of images that are padded already."""
    N, F = len(x), len(w)
    sides = window_counts(x.shape[2:], w.shape[2:], stride, dilation)
    matrix = w.reshape(groups, F // groups, math.prod(w.shape[1:]))
    y = array_module(x).empty(
        (N, groups, F // groups, math.prod(sides)), np.result_type(x.dtype, w.dtype)
    )
    for part in _blocks(x, F, w.shape[2:], sides, groups):
        # (G, F/G, K) @ (n, G, K, OH*OW)
        kernels.matmul(matrix, _columns(x[part], w.shape[2:], stride, dilation, groups), y[part])
    return y.reshape(N, F, *sides)


@primitive(
    lambda g, y, gy, w, size, **how: _convolve(g, w, **how),
    lambda g, y, gy, w, size, **how: _convolve_weight(gy, g, size=w.shape[2:], **how),
    saves=("w", "gy"),
    prepare=floating,
)
def _convolve_transpose(gy, w, *, size, stride, dilation, groups):
    """The gradient of images of that size for the gradient gy of y."""
    N, F, *sides = gy.shape
    C, K = w.shape[1] * groups, math.prod(w.shape[1:])
    matrix = w.reshape(groups, F // groups, K).swapaxes(1, 2)
    gy = gy.reshape(N, groups, F // groups, math.prod(sides))
    gx = array_module(gy).empty((N, C, *size), np.result_type(gy.dtype, w.dtype))
    for part in _blocks(gx, F, w.shape[2:], sides, groups):
        cols = kernels.matmul(matrix, gy[part])  # (G, K, F/G) @ (n, G, F/G, OH*OW)
        if not _pointwise(w.shape[2:], stride):
            cols = cols.reshape(len(cols), C, *w.shape[2:], *sides)
            cols = kernels.col2im(cols, tuple(size), stride, dilation)
        gx[part] = cols.reshape(len(cols), C, *size)
        del cols  # before the next block is made
    return gx


@primitive(
    lambda g, y, gy, x, size, **how: _convolve(x, g, **how),
    lambda g, y, gy, x, size, **how: _convolve_transpose(gy, g, size=x.shape[2:], **how),
    saves=("x", "gy"),
    prepare=floating,
)
def _convolve_weight(gy, x, *, size, stride, dilation, groups):
    """The gradient of filters of that size for the gradient gy of y."""
    N, F, *sides = gy.shape
    C = x.shape[1] // groups
    gw = array_module(x).zeros(
        (groups, F // groups, C * math.prod(size)), np.result_type(gy.dtype, x.dtype)
    )
    gy = gy.reshape(N, groups, F // groups, math.prod(sides))
    for part in _blocks(x, F, size, sides, groups):
        # (n, G, F/G, OH*OW) @ (n, G, OH*OW, K)
        cols_t = _columns(x[part], size, stride, dilation, groups).swapaxes(2, 3)
        gw += kernels.matmul(gy[part], cols_t).sum(0)
        del cols_t  # before the next block is made
    return gw.reshape(F, C, *size)


def _columns(x, size, stride, dilation, groups):
    """The values under each window of x: (N, groups, C / groups * kh * kw, OH * OW)."""
    N, C = x.shape[:2]
    if not _pointwise(size, stride):
        x = kernels.im2col(x, size, stride, dilation)
    depth = C // groups * math.prod(size)
    return x.reshape(N, groups, depth, math.prod(x.shape[-2:]))


def _pointwise(size, stride):
    """Whether windows are single places, all of them: images are then their own columns."""
    return tuple(size) == tuple(stride) == (1, 1)


def _blocks(x, F, size, sides, groups):
    """Slices of the batch, so long that neither columns nor products of one outgrow a block."""
    N, C = x.shape[:2]
    each = C * math.prod(size) * max(math.prod(sides), F // groups, 1)
    step = max((BLOCK_ON_GPU if is_cupy(x) else BLOCK) // max(each, 1), 1)
    return [slice(start, start + step) for start in range(0, N, step)]


# --------------------------------------------------------------------------- the public ops


@composite
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Sides = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Array:
    """y[n, o, u, v] = sum over c, i, j of weight[o, c, i, j] * x[n, c, u + i, v + j], plus bias[o].

    x (N, C, H, W), weight (F, C / groups, kh, kw), bias (F,), y (N, F, OH, OW) with
    OH = (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1. Windows move by `stride`,
    their places lie `dilation` apart; each of `groups` blocks of outputs sees its block of inputs.
    """
    return _conv("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


@composite
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """conv2d for sequences: x (N, C, L), weight (F, C / groups, k), y (N, F, OL)."""
    return _conv("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


@composite
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Sides = 0,
    output_padding: Sides = 0,
    groups: int = 1,
    dilation: Sides = 1,
) -> Array:
    """The adjoint of conv2d in x: each x[n, c, u, v] adds its multiple of the filters of c to y.

    x (N, C, H, W), weight (C, F / groups, kh, kw), bias (F,), y (N, F, OH, OW) with
    OH = (H - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1.
    """
    name = "conv_transpose2d"
    _check(name, 2, groups, x, weight)
    stride, dilation = pair(name, "stride", stride), pair(name, "dilation", dilation)
    padding = pair(name, "padding", padding, 0)
    extra = pair(name, "output_padding", output_padding, 0)
    if x.shape[1] != len(weight):
        raise ShapeError(
            f"{name}: x {x.shape} has {x.shape[1]} channels, but weight {weight.shape} is for "
            f"{len(weight)}: weight must be (in, out / groups, kh, kw)"
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            f"{name}: output_padding {extra} must be smaller than stride {stride} "
            f"or dilation {dilation}"
        )
    lines = zip(x.shape[2:], weight.shape[2:], stride, dilation)
    size = tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in lines)
    sides = tuple(n + e - 2 * p for n, e, p in zip(size, extra, padding))
    if min(sides) < 1 or 0 in x.shape[2:] or 0 in weight.shape[2:]:
        raise ShapeError(
            f"{name}: x {x.shape} and weight {weight.shape} give an output of sides {sides}; "
            "use less padding or larger images"
        )
    y = _convolve_transpose(x, weight, size=size, stride=stride, dilation=dilation, groups=groups)
    # `extra` rows are added at the end, `padding` cut from both: what is left to add or to cut
    if any(padding):
        cuts = ((p, max(p - e, 0)) for p, e in zip(padding, extra))
        y = crop(y, ((0, 0), (0, 0), *cuts))
    if any(e > p for p, e in zip(padding, extra)):
        y = pad(y, ((0, 0), (0, 0), *((0, max(e - p, 0)) for p, e in zip(padding, extra))))
    return _biased(name, y, bias)


def _conv(name, dims, x, weight, bias, stride, padding, dilation, groups):
    _check(name, dims, groups, x, weight)
    stride = pair(name, "stride", stride, dims=dims)
    padding = pair(name, "padding", padding, 0, dims=dims)
    dilation = pair(name, "dilation", dilation, dims=dims)
    if x.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{name}: x {x.shape} has {x.shape[1]} channels, but weight {weight.shape} with "
            f"groups={groups} is for {weight.shape[1] * groups}: weight must be "
            f"(out, in / groups, {'kh, kw' if dims == 2 else 'k'})"
        )
    if dims == 1:  # a sequence is an image one row high
        (N, C, L), (F, D, k) = x.shape, weight.shape
        x, weight = reshape(x, (N, C, 1, L)), reshape(weight, (F, D, 1, k))
    x = padded(x, padding)
    cut = slice(4 - dims, None)
    check_room(name, x.shape[cut], weight.shape[cut], dilation[2 - dims :])
    y = _convolve(x, weight, stride=stride, dilation=dilation, groups=groups)
    y = _biased(name, y, bias)
    return y if dims == 2 else reshape(y, (N, F, y.shape[3]))


def _biased(name, y, bias):
    if bias is None:
        return y
    F = y.shape[1]
    if bias.shape != (F,):
        raise ShapeError(f"{name}: bias {bias.shape} must be ({F},), one value for each output")
    return add(y, reshape(bias, (F, 1, 1)))


def _check(name, dims, groups, x, weight):
    sides = {1: ("L", "k"), 2: ("H, W", "kh, kw")}[dims]
    for argument, array, lead in (("x", x, "N, C"), ("weight", weight, "out, in / groups")):
        if array.ndim != 2 + dims:
            layout = f"({lead}, {sides[argument == 'weight']})"
            raise ShapeError(f"{name}: {argument} must be {layout}, got shape {array.shape}")
    checked((x, weight))
    if not isinstance(groups, int | np.integer) or groups < 1 or len(weight) % groups:
        raise ValueError(
            f"{name}: groups={groups!r} must be a whole number that divides axis 0 of "
            f"weight {weight.shape}"
        )
