"""Convolution layers."""

import math
from typing import Any

import numpy as np

from minigen import ops
from minigen.nn import init
from minigen.nn.functional.windows import PAD_MODES, padded_for_conv
from minigen.nn.module import Module, Parameter
from minigen.nn.options import refuse
from minigen.ops.windows import IntOrPair, pair
from minigen.random import Generator
from minigen.tensors import Tensor


class _Conv(Module):
    """Base of the convolution layers, with their settings, weight and bias.

    weight and bias start uniform in +-1 / sqrt(fan_in), as in PyTorch; fan_in is the number of
    values of one filter, weight.shape[1] * kh * kw.
    """

    dims, transposed = 2, False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair | str = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        name = type(self).__name__
        for argument, n in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups < 1 or n < 1 or n % groups:
                raise ValueError(
                    f"{name}: groups={groups} must divide {argument}={n}, both above 0"
                )

        def setting(argument, value, minimum=1):
            return pair(name, argument, value, minimum, self.dims)[2 - self.dims :]

        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = setting("kernel_size", kernel_size)
        self.stride = setting("stride", stride)
        self.dilation, self.padding_mode = setting("dilation", dilation), padding_mode
        self.padding: Any = padding
        if padding_mode not in ("zeros", *PAD_MODES):
            names = ", ".join(("zeros", *PAD_MODES))
            raise ValueError(f"{name}: padding_mode must be one of {names}, got {padding_mode!r}")
        if not isinstance(padding, str):
            self.padding = setting("padding", padding, 0)
        elif padding not in ("same", "valid") or self.transposed:
            named = "" if self.transposed else ", 'same' or 'valid'"
            raise ValueError(f"{name}: padding must be a number{named}, not {padding!r}")
        elif padding == "same" and set(self.stride) != {1}:
            raise ValueError(f"{name}: padding='same' needs stride 1, got {self.stride}")
        first, second = in_channels, out_channels
        if not self.transposed:
            first, second = out_channels, in_channels
        shape = (first, second // groups, *self.kernel_size)
        bound = 1 / math.sqrt(init.fans(shape)[0])
        self.weight = Parameter(init.uniform(shape, bound, rng, dtype, device))
        self.bias = None
        if bias:
            self.bias = Parameter(init.uniform((out_channels,), bound, rng, dtype, device))

    def _settings(self, x):
        """(x, stride, padding, dilation, groups) for the op: x with its border if not of zeros."""
        if x.dtype is not self.weight.dtype:
            self.warn_of_dtype(x, self.weight)
        padding = self.padding
        if self.padding_mode != "zeros" and x.ndim == 2 + self.dims:
            settings = self.kernel_size, self.dilation, self.padding_mode
            x, padding = padded_for_conv(x, padding, *settings), 0
        return x, self.stride, padding, self.dilation, self.groups

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        defaults = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        for name, default in defaults.items():
            value = getattr(self, name, default)
            if value not in (default, (default,) * self.dims):
                parts.append(f"{name}={value}")
        parts += [f"groups={self.groups}"] if self.groups > 1 else []
        parts += [f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []
        return ", ".join([*parts, f"bias={self.bias is not None}"])


class Conv2d(_Conv):
    """Slides out_channels filters over images x (B, in_channels, H, W): (B, out_channels, OH, OW).

    kernel_size (kh, kw), or one number for both, as are stride, padding and dilation; OH =
    (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1. padding="same" keeps the size. groups
    blocks of channels are convolved apart. padding_mode: zeros, reflect, replicate or circular.
    weight (out_channels, in_channels / groups, kh, kw), bias (out_channels,) unless bias=False.
    """

    def forward(self, x: Tensor) -> Tensor:
        x, *settings = self._settings(x)
        return ops.conv2d(x, self.weight, self.bias, *settings)


class Conv1d(_Conv):
    """Slides out_channels filters over sequences x (B, in_channels, L): (B, out_channels, OL).

    kernel_size, stride, padding, dilation, groups and padding_mode as in `Conv2d`, each one number.
    weight (out_channels, in_channels / groups, kernel_size), bias (out_channels,).
    """

    dims = 1

    def forward(self, x: Tensor) -> Tensor:
        x, *settings = self._settings(x)
        return ops.conv1d(x, self.weight, self.bias, *settings)


class ConvTranspose2d(_Conv):
    """The adjoint of Conv2d, which makes images larger: x (B, in, H, W), y (B, out, OH, OW).

    OH = (H - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1; kernel_size,
    stride, padding, output_padding and dilation are numbers, or pairs (along H, along W).
    weight (in_channels, out_channels / groups, kh, kw), bias (out_channels,) unless bias=False.
    padding_mode is "zeros".
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        output_padding: IntOrPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrPair = 1,
        padding_mode: str = "zeros",
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        refuse("ConvTranspose2d", "pad x before", padding_mode=(padding_mode, "zeros"))
        self.output_padding = pair("ConvTranspose2d", "output_padding", output_padding, 0)
        positional = in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        super().__init__(*positional, rng=rng, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        x, stride, padding, dilation, groups = self._settings(x)
        settings = stride, padding, self.output_padding, groups, dilation
        return ops.conv_transpose2d(x, self.weight, self.bias, *settings)
