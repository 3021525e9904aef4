"""Convolution: three products of images and filters, each of whose derivatives are the others.

With images x (N, C, H, W), filters w (F, C / groups, kh, kw) and y = x * w (N, F, OH, OW), the
product is linear in x and in w. So the gradient of x is a product of that of y with w, and the
gradient of w one of that of y with x: the three are closed under differentiation. All share the
settings of the windows: stride, padding, dilation (each along H and along W) and groups. How
they are computed is in `kernels/reference/convolution.py`; nothing is saved but what they multiply.
"""

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import composite, primitive
from minigen.backend.arrays import Array
from minigen.backend.dtypes import checked, floating
from minigen.errors import ShapeError
from minigen.ops.reduce import sum
from minigen.ops.shape import reshape
from minigen.ops.windows import Sides, check_room, pair

# ------------------------------------------------------------------------------ the three


@primitive(
    lambda g, y, x, w, bias, **how: _convolve_transpose(g, w, None, size=x.shape[2:], **how),
    lambda g, y, x, w, bias, **how: _convolve_weight(g, x, size=w.shape[2:], **how),
    lambda g, y, x, w, bias, **how: sum(g, (0, 2, 3)),
    saves=("w", "x", ""),
    prepare=floating,
)
def _convolve(x, w, bias, *, stride, padding, dilation, groups):
    """y, plus bias (F,)."""
    return kernels.convolve(x, w, bias, stride, padding, dilation, groups)


@primitive(
    lambda g, y, gy, w, bias, size, **how: _first(_convolve(g, w, None, **how), gy),
    lambda g, y, gy, w, bias, size, **how: _convolve_weight(gy, g, size=w.shape[2:], **how),
    lambda g, y, gy, w, bias, **how: sum(g, (0, 2, 3)),
    saves=("w", "gy", ""),
    prepare=floating,
)
def _convolve_transpose(gy, w, bias, *, size, stride, padding, dilation, groups):
    """The gradient of images of that size for the gradient gy of y; plus bias (C,)."""
    return kernels.convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups)


@primitive(
    lambda g, y, gy, x, size, **how: _first(_convolve(x, g, None, **how), gy),
    lambda g, y, gy, x, size, **how: _convolve_transpose(gy, g, None, size=x.shape[2:], **how),
    saves=("x", "gy"),
    prepare=floating,
)
def _convolve_weight(gy, x, *, size, stride, padding, dilation, groups):
    """The gradient of filters of that size for the gradient gy of y."""
    return kernels.convolve_weight(gy, x, size, stride, padding, dilation, groups)


def _first(y, gy):
    """As many rows and columns of y as gy has, which may be of fewer windows than find room."""
    return y if y.shape == gy.shape else y[:, :, : gy.shape[2], : gy.shape[3]]


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
    lines = zip(x.shape[2:], weight.shape[2:], stride, padding, extra, dilation)
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, e, d in lines)
    if min(size) < 1 or 0 in x.shape[2:] or 0 in weight.shape[2:]:
        raise ShapeError(
            f"{name}: x {x.shape} and weight {weight.shape} give an output of sides {size}; "
            "use less padding or larger images"
        )
    _check_bias(name, bias, weight.shape[1] * groups)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _convolve_transpose(x, weight, bias, size=size, **how)


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
    sides = [n + 2 * p for n, p in zip(x.shape[2:], padding)]
    check_room(name, sides[2 - dims :], weight.shape[4 - dims :], dilation[2 - dims :])
    _check_bias(name, bias, len(weight))
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = _convolve(x, weight, bias, **how)
    return y if dims == 2 else reshape(y, (N, F, y.shape[3]))


def _check_bias(name, bias, channels):
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(
            f"{name}: bias {bias.shape} must be ({channels},), one value for each output"
        )


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
