"""Pooling layers, and the one that makes images larger."""

from minigen import ops
from minigen.nn.module import Module
from minigen.ops.windows import Sides
from minigen.tensors import Tensor


class _Pool(Module):
    """What the pooling layers share: the settings of the windows, stride kernel_size by default."""

    def __init__(self, kernel_size: Sides, stride: Sides | None = None, padding: Sides = 0):
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(_Pool):
    """The largest value under each window of x (N, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool1d(x, self.kernel_size, self.stride, self.padding)


class MaxPool2d(_Pool):
    """The largest value under each window of x (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool):
    """The mean under each window of x (N, C, H, W), the padding's zeros included."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class AdaptiveAvgPool2d(Module):
    """Means under windows that cut x (N, C, H, W) into output_size; None keeps a side."""

    def __init__(self, output_size: int | tuple[int | None, int | None] | None):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return ops.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class Upsample(Module):
    """Each value of x (N, C, H, W) repeated scale_factor times down and across."""

    def __init__(self, scale_factor: Sides):
        self.scale_factor = scale_factor

    def forward(self, x: Tensor) -> Tensor:
        return ops.interpolate(x, self.scale_factor)

    def extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}"
