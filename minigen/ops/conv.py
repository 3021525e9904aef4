"""Convolution: three bilinear ops, whose derivatives are each other.

For images x (N, C, H, W), filters w (F, C / groups, kh, kw) and y = x * w (N, F, OH, OW), which is
linear in x and in w, the VJPs are
    gx = _convolve_transpose(gy, w)    (N, C, H, W)
    gw = _convolve_weight(gy, x)       (F, C / groups, kh, kw)
    gbias = sum over n, u, v of gy     (F,)
and those of _convolve_transpose and _convolve_weight are again two of the three. All have the same
geometry: stride, padding, dilation (each a pair, along H and along W) and groups. The formulas with
all indices are in `kernels/reference/convolution.py`. Only the two factors are saved, no columns.
"""

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import composite, primitive
from minigen.backend.arrays import Array
from minigen.backend.dtypes import checked, floating
from minigen.errors import ShapeError
from minigen.ops.joining import pad
from minigen.ops.reduce import sum
from minigen.ops.shape import reshape
from minigen.ops.windows import IntOrPair, check_window_fits, pair

# ----------------------------------------------------------------- the three bilinear ops


@primitive(
    lambda g, y, x, w, bias, **geometry: _convolve_transpose(
        g, w, None, size=x.shape[2:], **geometry
    ),
    lambda g, y, x, w, bias, **geometry: _convolve_weight(g, x, size=w.shape[2:], **geometry),
    lambda g, y, x, w, bias, **geometry: sum(g, (0, 2, 3)),
    saves=("w", "x", ""),
    prepare=floating,
)
def _convolve(x, w, bias, *, stride, padding, dilation, groups):
    """y[n, f, u, v] = bias[f] + sum of w * x under window (u, v): see `kernels.reference`."""
    return kernels.convolve(x, w, bias, stride, padding, dilation, groups)


@primitive(
    lambda g, y, gy, w, bias, size, **geometry: _crop_like(_convolve(g, w, None, **geometry), gy),
    lambda g, y, gy, w, bias, size, **geometry: _convolve_weight(
        gy, g, size=w.shape[2:], **geometry
    ),
    lambda g, y, gy, w, bias, **geometry: sum(g, (0, 2, 3)),
    saves=("w", "gy", ""),
    prepare=floating,
)
def _convolve_transpose(gy, w, bias, *, size, stride, padding, dilation, groups):
    """The VJP of _convolve in x, plus bias (C,): gy (N, F, OH, OW) to images of size = (H, W)."""
    return kernels.convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups)


@primitive(
    lambda g, y, gy, x, size, **geometry: _crop_like(_convolve(x, g, None, **geometry), gy),
    lambda g, y, gy, x, size, **geometry: _convolve_transpose(
        gy, g, None, size=x.shape[2:], **geometry
    ),
    saves=("x", "gy"),
    prepare=floating,
)
def _convolve_weight(gy, x, *, size, stride, padding, dilation, groups):
    """The VJP of _convolve in w: (F, C / groups, kh, kw), with size = (kh, kw)."""
    return kernels.convolve_weight(gy, x, size, stride, padding, dilation, groups)


def _crop_like(y, gy):
    """The first rows and columns of y, as many as gy has.

    With output_padding, conv_transpose2d takes fewer windows than fit in the images it returns.
    """
    return y if y.shape == gy.shape else y[:, :, : gy.shape[2], : gy.shape[3]]


# --------------------------------------------------------------------------- the public ops


@composite
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """y[n, o, u, v] = sum over c, i, j of weight[o, c, i, j] * x[n, c, u + i, v + j], plus bias[o].

    x (N, C, H, W), weight (F, C / groups, kh, kw), bias (F,), y (N, F, OH, OW) with
    OH = (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1. The sum is that for one group,
    stride 1 and no padding or dilation. In general u + i is u * stride + i * dilation - padding.
    Each of `groups` blocks of output channels is computed from its block of input channels.
    padding="same" gives y the size of x (with stride 1), "valid" is padding 0.
    """
    return _conv("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


@composite
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """conv2d for sequences x (N, C, L): weight (F, C / groups, k), bias (F,), y (N, F, OL)."""
    return _conv("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


@composite
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Array:
    """The adjoint of conv2d: y = bias + sum over x[n, c, u, v] times filter c, placed at (u, v).

    x (N, C, H, W), weight (C, F / groups, kh, kw), bias (F,), y (N, F, OH, OW) with
    OH = (H - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1.
    """
    name = "conv_transpose2d"
    _check_arguments(name, 2, groups, x, weight)
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
    axes = zip(x.shape[2:], weight.shape[2:], stride, padding, extra, dilation)
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, e, d in axes)
    if min(size) < 1 or 0 in x.shape[2:] or 0 in weight.shape[2:]:
        raise ShapeError(
            f"{name}: x {x.shape} and weight {weight.shape} give an output of sides {size}; "
            "use less padding or larger images"
        )
    _check_bias(name, bias, weight.shape[1] * groups)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _convolve_transpose(x, weight, bias, size=size, **geometry)


def _conv(name, dims, x, weight, bias, stride, padding, dilation, groups):
    """conv2d (dims = 2) or conv1d (dims = 1), with arguments checked in the name of that op."""
    _check_arguments(name, dims, groups, x, weight)
    stride = pair(name, "stride", stride, dims=dims)
    dilation = pair(name, "dilation", dilation, dims=dims)
    if isinstance(padding, str):
        x, padding = _padded_by_name(name, dims, x, weight, stride, padding, dilation)
    padding = pair(name, "padding", padding, 0, dims=dims)
    if x.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{name}: x {x.shape} has {x.shape[1]} channels, but weight {weight.shape} with "
            f"groups={groups} is for {weight.shape[1] * groups}: weight must be "
            f"(out, in / groups, {'kh, kw' if dims == 2 else 'k'})"
        )
    if dims == 1:  # a sequence is an image with H = 1
        (N, C, L), (F, D, k) = x.shape, weight.shape
        x, weight = reshape(x, (N, C, 1, L)), reshape(weight, (F, D, 1, k))
    padded_size = [n + 2 * p for n, p in zip(x.shape[2:], padding)]
    check_window_fits(name, padded_size[2 - dims :], weight.shape[4 - dims :], dilation[2 - dims :])
    _check_bias(name, bias, len(weight))
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = _convolve(x, weight, bias, **geometry)
    return y if dims == 2 else reshape(y, (N, F, y.shape[3]))


def _padded_by_name(name, dims, x, weight, stride, padding, dilation):
    """(x, padding) for padding="valid" or "same".

    For "same" a kernel of even size needs one more row or column at the end: x gets it here.
    """
    if padding not in ("same", "valid"):
        raise ValueError(f"{name}: padding must be a number, 'same' or 'valid', got {padding!r}")
    if padding == "valid":
        return x, 0
    if set(stride[2 - dims :]) != {1}:
        raise ValueError(f"{name}: padding='same' needs stride 1, got stride={stride[2 - dims :]}")
    totals = same_padding(weight.shape[2:], dilation[2 - dims :])
    if any(total % 2 for total in totals):
        x = pad(x, ((0, 0), (0, 0), *((0, total % 2) for total in totals)))
    return x, tuple(total // 2 for total in totals)


def same_padding(kernel_size, dilation) -> tuple[int, ...]:
    """How much longer each axis must become for padding="same", at both ends together."""
    return tuple(d * (k - 1) for k, d in zip(kernel_size, dilation))


def _check_bias(name, bias, channels):
    """ShapeError unless bias is None or (channels,)."""
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(
            f"{name}: bias {bias.shape} must be ({channels},), one value for each output"
        )


def _check_arguments(name, dims, groups, x, weight):
    """ShapeError, DTypeError or ValueError for x, weight and groups that do not fit each other."""
    last_axes = {1: ("L", "k"), 2: ("H, W", "kh, kw")}[dims]
    for argument, array, first_axes in (("x", x, "N, C"), ("weight", weight, "out, in / groups")):
        if array.ndim != 2 + dims:
            layout = f"({first_axes}, {last_axes[argument == 'weight']})"
            raise ShapeError(f"{name}: {argument} must be {layout}, got shape {array.shape}")
    checked((x, weight))
    if not isinstance(groups, int | np.integer) or groups < 1 or len(weight) % groups:
        raise ValueError(
            f"{name}: groups={groups!r} must be a whole number that divides axis 0 of "
            f"weight {weight.shape}"
        )
