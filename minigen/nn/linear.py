"""The dense layer."""

import math
from typing import Any

import numpy as np

from minigen import ops
from minigen.nn import init
from minigen.nn.module import Module, Parameter
from minigen.random import Generator
from minigen.tensors import Tensor


class Linear(Module):
    """y = x @ weight.T + bias: x (..., in_features), y (..., out_features).

    weight (out_features, in_features), bias (out_features,), which bias=False leaves out. Both are
    drawn from rng, uniformly within +-1 / sqrt(in_features), as PyTorch's, in dtype on device.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if in_features < 0 or out_features < 0:
            raise ValueError(f"Linear: sizes must not be negative, got {in_features, out_features}")
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features) if in_features else 0.0
        shape = (out_features, in_features)
        self.weight = Parameter(init.uniform(shape, bound, rng, dtype, device))
        self.bias = None
        if bias:
            self.bias = Parameter(init.uniform(shape[:1], bound, rng, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype is not self.weight.dtype:
            self.warn_of_dtype(x, self.weight)
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
