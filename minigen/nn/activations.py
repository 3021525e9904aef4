"""Activations as modules, for Sequential.

`inplace` is accepted and ignored: in PyTorch it saves memory, and here tensors are not written to.
"""

from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.nn import functional as F
from minigen.nn.module import Module, Parameter
from minigen.tensors import Tensor


class Activation(Module):
    """A function of one tensor, applied to each value; it has no parameters."""

    def __init__(self, inplace: bool = False):
        """inplace: ignored."""


class ReLU(Activation):
    """max(x, 0), with gradient 0 at 0. inplace is ignored: tensors are not written to."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class ReLU6(Activation):
    """min(max(x, 0), 6). inplace is ignored: tensors are not written to."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


class SiLU(Activation):
    """x * sigmoid(x), also known as swish. inplace is ignored: tensors are not written to."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.silu(x)


class Mish(Activation):
    """x * tanh(softplus(x)) (Misra 2019). inplace is ignored: tensors are not written to."""

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(x)


class SELU(Activation):
    """1.0507 * elu(x, 1.6733) (Klambauer et al. 2017). inplace is ignored."""

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(x)


class Hardswish(Activation):
    """x * relu6(x + 3) / 6 (Howard et al. 2019). inplace is ignored."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x)


class Hardsigmoid(Activation):
    """relu6(x + 3) / 6. inplace is ignored: tensors are not written to."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent of each value. No arguments."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)) for each value. No arguments."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class LogSigmoid(Module):
    """log(sigmoid(x)) for each value, finite also far below 0. No arguments."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.log_sigmoid(x)


class Softsign(Module):
    """x / (1 + |x|) for each value. No arguments."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softsign(x)


class GELU(Module):
    """x times the standard normal distribution function of x (Hendrycks and Gimpel 2016).

    approximate="tanh" computes the approximation of the paper with tanh.
    """

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return ops.gelu(x, self.approximate)


class LeakyReLU(Module):
    """x where positive, else negative_slope * x. inplace is ignored."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)


class PReLU(Module):
    """x where positive, else weight * x, which is trained (He et al. 2015): x (B, C, ...).

    num_parameters: 1, or C for a weight of each channel; init: its initial value.
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        *,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        self.num_parameters = num_parameters
        self.weight = Parameter(creation.full((num_parameters,), init, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype is not self.weight.dtype:
            self.warn_of_dtype(x, self.weight)
        return F.prelu(x, self.weight)


class ELU(Module):
    """x where positive, else alpha * (exp(x) - 1). inplace is ignored."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return ops.elu(x, self.alpha)


class Hardtanh(Module):
    """x cut to between min_val and max_val. inplace is ignored: tensors are not written to."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: min_val={min_val} must be below max_val={max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return F.hardtanh(x, self.min_val, self.max_val)


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        return ops.softplus(x, self.beta, self.threshold)


class Softmax(Module):
    """exp(x) / sum(exp(x)), the sum over axis dim, which must be named."""

    def __init__(self, dim: int | None = None):
        if dim is None:
            raise TypeError("Softmax: name the axis, as in Softmax(dim=1)")
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return ops.softmax(x, self.dim)


class LogSoftmax(Module):
    """log(softmax(x)) over axis dim, which must be named."""

    def __init__(self, dim: int | None = None):
        if dim is None:
            raise TypeError("LogSoftmax: name the axis, as in LogSoftmax(dim=1)")
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return ops.log_softmax(x, self.dim)


class GLU(Module):
    """a * sigmoid(b), a and b the two halves of x along axis dim (Dauphin et al. 2017)."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, self.dim)
