"""Normalization layers."""

from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.errors import ShapeError
from minigen.nn import functional as F
from minigen.nn.module import Module, Parameter
from minigen.nn.options import refuse
from minigen.tensors import Tensor


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias, over the last axes of x (Ba et al. 2016).

    normalized_shape: their lengths, a number for one axis. weight and bias have that shape; bias
    alone, or with elementwise_affine=False both are left out.
    """

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
        self.normalized_shape, self.eps = _as_shape(normalized_shape), eps
        self.weight = self.bias = None
        if elementwise_affine:
            self.weight = Parameter(creation.ones(self.normalized_shape, dtype, device))
            if bias:
                self.bias = Parameter(creation.zeros(self.normalized_shape, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is not None and x.dtype is not self.weight.dtype:
            self.warn_of_dtype(x, self.weight)
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


def _as_shape(normalized_shape):
    """normalized_shape as a tuple of ints."""
    if isinstance(normalized_shape, int | np.integer):
        return (int(normalized_shape),)
    return tuple(map(int, normalized_shape))


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight, over the last axes of x (Zhang and Sennrich 2019).

    normalized_shape: their lengths, a number for one axis, and the shape of weight, which
    elementwise_affine=False leaves out. eps is the dtype's epsilon by default.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        self.normalized_shape, self.eps = _as_shape(normalized_shape), eps
        self.weight = None
        if elementwise_affine:
            self.weight = Parameter(creation.ones(self.normalized_shape, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is not None and x.dtype is not self.weight.dtype:
            self.warn_of_dtype(x, self.weight)
        return ops.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """Layer norm of x (B, num_channels, ...) over each of num_groups blocks of channels.

    weight and bias (num_channels,), unless affine=False (Wu and He 2018); eps is added to the
    variance. num_groups must divide num_channels.
    """

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
        if self.weight is not None and x.dtype is not self.weight.dtype:
            self.warn_of_dtype(x, self.weight)
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
        synchronized: bool = True,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.synchronized = synchronized
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
        values = self.running_mean if self.weight is None else self.weight
        if values is not None and x.dtype is not values.dtype:
            self.warn_of_dtype(x, values)
        running = self.running_mean, self.running_var
        training = self.training or not self.track_running_stats
        momentum = self.momentum
        if momentum is None and training and self.track_running_stats:
            momentum = 1 / (int(self.num_batches_tracked.data) + 1)
        momentum = momentum or 0.0
        settings = training, momentum, self.eps
        parameters = self.weight, self.bias
        y = ops.batch_norm(x, *running, *parameters, *settings, synchronized=self.synchronized)
        if training and self.track_running_stats:
            self.num_batches_tracked.data += 1
        return y

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Batch norm of x (B, num_features) or (B, num_features, L), over B and L.

    eps is added to the variance; momentum is the weight of a batch in the running statistics (None:
    their average). weight and bias (num_features,) unless affine=False. With
    track_running_stats=False there are none, and evaluation uses the batch's. An empty batch
    changes nothing; ValueError for one value for each channel in training. The batch is that of all
    ranks, where several train in step; with synchronized=False it is that of this rank.
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of x (B, num_features, H, W), over B, H and W; arguments as of `BatchNorm1d`."""

    ndims = (4,)


class _InstanceNorm(Module):
    """Base of the instance norms; a subclass sets ndim, the number of axes of x."""

    ndim = 0

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        remedy = "BatchNorm keeps running statistics"
        tracked = (track_running_stats, False)
        refuse(type(self).__name__, remedy, track_running_stats=tracked)
        self.num_features, self.eps = num_features, eps
        self.weight = self.bias = None
        if affine:
            self.weight = Parameter(creation.ones((num_features,), dtype, device))
            self.bias = Parameter(creation.zeros((num_features,), dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        name = type(self).__name__
        if x.ndim != self.ndim or x.shape[1] != self.num_features:
            channels = self.num_features
            raise ShapeError(f"{name}: x must be (B, {channels}, ...), {self.ndim} dims: {x.shape}")
        if self.weight is not None and x.dtype is not self.weight.dtype:
            self.warn_of_dtype(x, self.weight)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"


class InstanceNorm1d(_InstanceNorm):
    """Layer norm of each channel of each sample of x (B, num_features, L).

    weight and bias (num_features,) with affine=True (Ulyanov et al. 2016); eps is added to the
    variance. track_running_stats is left out, and momentum is unused.
    """

    ndim = 3


class InstanceNorm2d(_InstanceNorm):
    """Layer norm of each channel of each image of x (B, num_features, H, W).

    Arguments as of `InstanceNorm1d`.
    """

    ndim = 4
