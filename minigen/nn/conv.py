"""Convolution layers."""

import math
from typing import Any

import numpy as np

from minigen import ops
from minigen.nn import init
from minigen.nn.module import Module, Parameter
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
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
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
        self.padding, self.dilation = setting("padding", padding, 0), setting("dilation", dilation)
        first, second = in_channels, out_channels
        if not self.transposed:
            first, second = out_channels, in_channels
        shape = (first, second // groups, *self.kernel_size)
        bound = 1 / math.sqrt(init.fans(shape)[0])
        self.weight = Parameter(init.uniform(shape, bound, rng, dtype, device))
        self.bias = None
        if bias:
            self.bias = Parameter(init.uniform((out_channels,), bound, rng, dtype, device))

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        defaults = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        for name, default in defaults.items():
            value = getattr(self, name, default)
            if value not in (default, (default,) * self.dims):
                parts.append(f"{name}={value}")
        parts += [f"groups={self.groups}"] if self.groups > 1 else []
        return ", ".join([*parts, f"bias={self.bias is not None}"])


class Conv2d(_Conv):
    """`ops.conv2d` with weight (out, in / groups, kh, kw) and bias (out,)."""

    def forward(self, x: Tensor) -> Tensor:
        settings = self.stride, self.padding, self.dilation, self.groups
        return ops.conv2d(x, self.weight, self.bias, *settings)


class Conv1d(_Conv):
    """`ops.conv1d` with weight (out, in / groups, k) and bias (out,)."""

    dims = 1

    def forward(self, x: Tensor) -> Tensor:
        settings = self.stride, self.padding, self.dilation, self.groups
        return ops.conv1d(x, self.weight, self.bias, *settings)


class ConvTranspose2d(_Conv):
    """`ops.conv_transpose2d` with weight (in, out / groups, kh, kw) and bias (out,)."""

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
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        self.output_padding = pair("ConvTranspose2d", "output_padding", output_padding, 0)
        positional = in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        super().__init__(*positional, rng=rng, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        settings = self.stride, self.padding, self.output_padding, self.groups, self.dilation
        return ops.conv_transpose2d(x, self.weight, self.bias, *settings)
