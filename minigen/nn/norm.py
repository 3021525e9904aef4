"""Normalization layers."""

from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.nn.module import Module, Parameter
from minigen.tensors import Tensor


class LayerNorm(Module):
    """The last axes, of normalized_shape, to mean 0 and variance 1, then weight and bias."""

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
