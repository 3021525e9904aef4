"""Normalization layers."""

from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.errors import ShapeError
from minigen.nn.module import Module, Parameter
from minigen.tensors import Tensor


class LayerNorm(Module):
    """`ops.layer_norm` over the last axes, with weight and bias of normalized_shape."""

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape, self.eps = tuple(shape), eps
        self.weight = self.bias = None
        if elementwise_affine:
            self.weight = Parameter(creation.ones(self.normalized_shape, dtype, device))
            if bias:
                self.bias = Parameter(creation.zeros(self.normalized_shape, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """`ops.group_norm` of x (N, C, ...) in num_groups groups, with weight and bias (C,)."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = self.bias = None
        if affine:
            self.weight = Parameter(creation.ones((num_channels,), dtype, device))
            self.bias = Parameter(creation.zeros((num_channels,), dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


class _BatchNorm(Module):
    """Base of the batch norm layers; a subclass sets ndims, the numbers of axes that x may have.

    In training, `ops.batch_norm` normalizes by the statistics of the batch and moves the running
    ones toward them by momentum (if None, by 1 / num_batches_tracked: they are the average of all
    batches). In evaluation it normalizes by the running ones.
    """

    ndims: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = self.bias = self.running_mean = self.running_var = None
        if affine:
            self.weight = Parameter(creation.ones((num_features,), dtype, device))
            self.bias = Parameter(creation.zeros((num_features,), dtype, device))
        self.track_running_stats = track_running_stats
        if track_running_stats:
            self.register_buffer("running_mean", creation.zeros((num_features,), dtype, device))
            self.register_buffer("running_var", creation.ones((num_features,), dtype, device))
            self.register_buffer("num_batches_tracked", creation.zeros((), np.int64, device))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self.ndims:
            expected = " or ".join(map(str, self.ndims))
            raise ShapeError(f"{type(self).__name__}: x must have {expected} dims, got {x.shape}")
        running = self.running_mean, self.running_var
        training = self.training or not self.track_running_stats
        momentum = self.momentum
        if momentum is None and training and self.track_running_stats:
            momentum = 1 / (int(self.num_batches_tracked.data) + 1)
        momentum = momentum or 0.0
        y = ops.batch_norm(x, *running, self.weight, self.bias, training, momentum, self.eps)
        if training and self.track_running_stats:
            self.num_batches_tracked.data += 1
        return y

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """`ops.batch_norm` of x (N, C) or (N, C, L), with weight and bias (C,)."""

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`ops.batch_norm` of x (N, C, H, W), with weight and bias (C,)."""

    ndims = (4,)
