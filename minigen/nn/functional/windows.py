"""Borders, convolution, pooling and interpolation as functions, with PyTorch's signatures."""

from typing import Any

from minigen import ops
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn.options import refuse
from minigen.ops.conv import same_padding
from minigen.ops.pooling import OutputSize
from minigen.ops.windows import IntOrPair
from minigen.tensors import Tensor

Optional = Tensor | Array | None
PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # NumPy's names


def pad(input: Tensor, pad: tuple[int, ...], mode: str = "constant", value: float = 0) -> Tensor:
    """x with a border: pad is (before, after) of the last axis, then of the one before it, ...

    mode is constant, reflect, replicate or circular; a negative number cuts off.
    """
    numbers = [int(n) for n in pad]
    if len(numbers) % 2 or len(numbers) > 2 * input.ndim:
        raise ShapeError(
            f"pad: {tuple(pad)} must be pairs (before, after), from the last axis on, for at most "
            f"the {input.ndim} axes of shape {input.shape}"
        )
    if mode != "constant" and mode not in PAD_MODES:
        names = ", ".join(("constant", *PAD_MODES))
        raise ValueError(f"pad: mode must be one of {names}, got {mode!r}")
    pairs = [(0, 0)] * input.ndim
    for i in range(len(numbers) // 2):
        pairs[-1 - i] = (numbers[2 * i], numbers[2 * i + 1])
    if min(numbers, default=0) < 0:
        input = ops.crop(input, tuple((max(-a, 0), max(-b, 0)) for a, b in pairs))
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
    return ops.pad(input, pairs, value, PAD_MODES.get(mode, mode))


def padded_for_conv(x: Tensor, padding: Any, kernel_size: Any, dilation: Any, mode: str) -> Tensor:
    """x (B, C, ...) with the border of a convolution layer whose padding_mode is not "zeros"."""
    if padding == "valid":
        return x
    if padding == "same":
        totals = same_padding(kernel_size, dilation)
        pairs = [(n // 2, n - n // 2) for n in totals]
    else:
        pairs = [(p, p) for p in padding]
    return ops.pad(x, ((0, 0), (0, 0), *pairs), mode=PAD_MODES[mode])


# --------------------------------------------------------------- convolution and windows


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Optional = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of x (B, C, L) with weight (out, C / groups, k)."""
    return ops.conv1d(input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Optional = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of x (B, C, H, W) with weight (out, C / groups, kh, kw)."""
    return ops.conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Optional = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The adjoint of conv2d: x (B, C, H, W), weight (C, out / groups, kh, kw)."""
    settings = stride, padding, output_padding, groups, dilation
    return ops.conv_transpose2d(input, weight, bias, *settings)


def max_pool1d(
    input: Tensor,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The maximum of each window of x (B, C, L); stride is kernel_size by default."""
    refuse_max_pool("max_pool1d", dilation, return_indices)
    return ops.max_pool1d(input, kernel_size, stride, padding, ceil_mode)


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The maximum of each window of x (B, C, H, W); stride is kernel_size by default."""
    refuse_max_pool("max_pool2d", dilation, return_indices)
    return ops.max_pool2d(input, kernel_size, stride, padding, ceil_mode)


def refuse_max_pool(name: str, dilation: IntOrPair, return_indices: bool) -> None:
    """TypeError for the options of maximum pooling that are left out."""
    dilation = 1 if dilation in ((1, 1), [1, 1], (1,)) else dilation
    refuse(name, "pool x[..., i::dilation] for each i", dilation=(dilation, 1))
    refuse(name, "mg.argmax of the windows finds them", return_indices=(return_indices, False))


def avg_pool1d(
    input: Tensor,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of x (B, C, L); count_include_pad: the zeros of padding count."""
    return ops.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of x (B, C, H, W); count_include_pad: the zeros of padding count."""
    remedy = "multiply the means by the window's size, and divide by yours"
    refuse("avg_pool2d", remedy, divisor_override=(divisor_override, None))
    return ops.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def adaptive_avg_pool1d(input: Tensor, output_size: int) -> Tensor:
    """Means of output_size windows that cover x (B, C, L)."""
    if input.ndim != 3:
        raise ShapeError(f"adaptive_avg_pool1d: x must be (N, C, L), got shape {input.shape}")
    y = ops.adaptive_avg_pool2d(ops.expand_dims(input, 2), (1, output_size))
    return ops.squeeze(y, 2)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Means of OH x OW windows that cover x (B, C, H, W)."""
    return ops.adaptive_avg_pool2d(input, output_size)


def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor:
    """The maxima of OH x OW windows that cover x (B, C, H, W)."""
    refuse_max_pool("adaptive_max_pool2d", 1, return_indices)
    return ops.adaptive_max_pool2d(input, output_size)


def interpolate(
    input: Tensor,
    size: IntOrPair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """x (B, C, H, W) at another size, by the nearest value or by mode="bilinear"."""
    return ops.interpolate(input, scale_factor, size, mode, bool(align_corners))
