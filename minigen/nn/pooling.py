"""Pooling and upsampling layers."""

from minigen import ops
from minigen.nn.module import Module
from minigen.ops.windows import IntOrPair
from minigen.tensors import Tensor


class _Pool(Module):
    """Base of the pooling layers, with kernel_size, stride (kernel_size by default) and padding."""

    def __init__(
        self, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0
    ):
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(_Pool):
    """`ops.max_pool1d`: the maximum of each window of x (N, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool1d(x, self.kernel_size, self.stride, self.padding)


class MaxPool2d(_Pool):
    """`ops.max_pool2d`: the maximum of each window of x (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool):
    """`ops.avg_pool2d`: the mean of each window of x (N, C, H, W), padding included."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class AdaptiveAvgPool2d(Module):
    """`ops.adaptive_avg_pool2d`: means of OH x OW windows of x (N, C, H, W), the output_size."""

    def __init__(self, output_size: int | tuple[int | None, int | None] | None):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return ops.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class Upsample(Module):
    """`ops.interpolate`: each value of x (N, C, H, W) repeated scale_factor times along H and W."""

    def __init__(self, scale_factor: IntOrPair):
        self.scale_factor = scale_factor

    def forward(self, x: Tensor) -> Tensor:
        return ops.interpolate(x, self.scale_factor)

    def extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}"
