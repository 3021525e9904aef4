"""Pooling and upsampling layers."""

from minigen import ops
from minigen.nn import functional as F
from minigen.nn.functional.windows import refuse_max_pool
from minigen.nn.module import Module
from minigen.nn.options import refuse
from minigen.ops.pooling import OutputSize
from minigen.ops.windows import IntOrPair
from minigen.tensors import Tensor


class _Pool(Module):
    """Base of the pooling layers, with the settings of their windows."""

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
    ):
        self.kernel_size, self.padding, self.ceil_mode = kernel_size, padding, ceil_mode
        self.stride = kernel_size if stride is None else stride

    def extra_repr(self) -> str:
        ceil_mode = ", ceil_mode=True" if self.ceil_mode else ""
        settings = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return settings + ceil_mode


class _MaxPool(_Pool):
    """Base of the layers of maximum pooling."""

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        refuse_max_pool(type(self).__name__, dilation, return_indices)
        super().__init__(kernel_size, stride, padding, ceil_mode)


class MaxPool1d(_MaxPool):
    """The maximum of each window of x (B, C, L): (B, C, OL).

    OL = (L + 2 * padding - kernel_size) // stride + 1, rounded up with ceil_mode. stride is
    kernel_size by default; padding counts as -inf. dilation and return_indices are left out.
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class MaxPool2d(_MaxPool):
    """The maximum of each window of x (B, C, H, W): (B, C, OH, OW).

    OH = (H + 2 * padding - kernel_size) // stride + 1, rounded up with ceil_mode, and OW likewise;
    each setting is a number or a pair. stride is kernel_size by default; padding counts as -inf.
    dilation and return_indices are left out.
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class AvgPool1d(_Pool):
    """The mean of each window of x (B, C, L): (B, C, OL), OL as in `MaxPool1d`.

    The zeros of padding count, or with count_include_pad=False only values of x.
    """

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        settings = self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return ops.avg_pool1d(x, self.kernel_size, *settings)


class AvgPool2d(_Pool):
    """The mean of each window of x (B, C, H, W): (B, C, OH, OW), OH as in `MaxPool2d`.

    The zeros of padding count, or with count_include_pad=False only values of x. divisor_override
    is left out.
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        remedy = "multiply the means by the window's size, and divide by yours"
        refuse("AvgPool2d", remedy, divisor_override=(divisor_override, None))
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        settings = self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return ops.avg_pool2d(x, self.kernel_size, *settings)


class AdaptiveAvgPool1d(Module):
    """Means of output_size windows of x (B, C, L), which cover it: (B, C, output_size)."""

    def __init__(self, output_size: int):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(x, self.output_size)


class AdaptiveAvgPool2d(Module):
    """Means of OH x OW windows of x (B, C, H, W), which cover it: (B, C, OH, OW).

    output_size is (OH, OW), or one number for both; None keeps H or W.
    """

    def __init__(self, output_size: OutputSize):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return ops.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(AdaptiveAvgPool2d):
    """The maxima of the windows of `AdaptiveAvgPool2d`, with its output_size.

    return_indices is left out.
    """

    def __init__(self, output_size: OutputSize, return_indices: bool = False):
        refuse_max_pool("AdaptiveMaxPool2d", 1, return_indices)
        super().__init__(output_size)

    def forward(self, x: Tensor) -> Tensor:
        return ops.adaptive_max_pool2d(x, self.output_size)


class Upsample(Module):
    """Images x (B, C, H, W) at another size: scale_factor times it, or size (OH, OW).

    The first argument is scale_factor, unlike PyTorch's, a number or two, whole or not. mode:
    "nearest" repeats values, "bilinear" weighs four; align_corners as in `ops.interpolate`.
    """

    def __init__(
        self,
        scale_factor: float | tuple[float, float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        *,
        size: IntOrPair | None = None,
    ):
        self.scale_factor, self.size = scale_factor, size
        self.mode, self.align_corners = mode, bool(align_corners)
        if mode not in ("nearest", "bilinear") or (scale_factor is None) == (size is None):
            raise ValueError(
                "Upsample: takes one of scale_factor and size, and mode 'nearest' or 'bilinear', "
                f"got {scale_factor}, {size} and {mode!r}"
            )

    def forward(self, x: Tensor) -> Tensor:
        return ops.interpolate(x, self.scale_factor, self.size, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        by_size = self.scale_factor is None
        text = f"size={self.size}" if by_size else f"scale_factor={self.scale_factor}"
        return text if self.mode == "nearest" else f"{text}, mode={self.mode}"
