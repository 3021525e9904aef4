"""Activations as functions, with PyTorch's signatures.

`inplace` is accepted and ignored: in PyTorch it saves memory, and here tensors are not written to.
"""

from typing import Any

from minigen import ops
from minigen.ops.elementwise import FAR
from minigen.tensors import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0), with gradient 0 at 0."""
    return ops.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope * x."""
    return ops.leaky_relu(input, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight * x: x (B, C, ...), weight (1,), or (C,) for each channel."""
    if weight.size > 1 and input.ndim > 1:
        weight = ops.reshape(weight, (-1, *(1 for _ in input.shape[2:])))
    positive = input > 0
    below = ops.where(positive, 0.0, input)  # else an infinite x would make the gradient NaN
    return ops.where(positive, input, ops.multiply(below, weight))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x) - 1)."""
    return ops.elu(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 * elu(x, 1.6733), which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return 1.0507009873554805 * ops.elu(input, 1.6732632423543772)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x between min_val and max_val, which it is cut to; the gradient at both is 0."""
    below, above = input <= min_val, input >= max_val
    return ops.where(below, min_val, ops.where(above, max_val, input))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6), with gradient 0 at 0 and 6."""
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return relu6(input + 3) / 6


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6 (Howard et al. 2019)."""
    inside = hardtanh(input, -3.0, 3.0)
    return ops.where(input >= 3, input, inside * (inside + 3) / 6)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), Phi the distribution function of N(0, 1); approximate="tanh" is faster."""
    return ops.gelu(input, approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return ops.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)) (Misra 2019)."""
    inside = hardtanh(input, -FAR, FAR)
    return ops.where(input > FAR, input, inside * ops.tanh(ops.softplus(inside)))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    return ops.softplus(input, beta, threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    inside = hardtanh(input, -1e18, 1e18)  # it is 1 beyond, and infinity / infinity would be NaN
    return inside / (1 + ops.abs(inside))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ops.sigmoid(input)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return ops.log_sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ops.tanh(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), a and b the two halves of x along dim (Dauphin et al. 2017)."""
    a, b = ops.split(input, 2, dim)
    return a * ops.sigmoid(b)


def softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)), the sum over dim, which must be named; dtype: that of the result."""
    return ops.softmax(_as(input, dtype), axis=_named("softmax", dim))


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """log(softmax(x)) over dim, which must be named; dtype: that of the result."""
    return ops.log_softmax(_as(input, dtype), axis=_named("log_softmax", dim))


def softmin(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """softmax(-x) over dim, which must be named; dtype: that of the result."""
    return ops.softmax(-_as(input, dtype), axis=_named("softmin", dim))


def _as(x, dtype):
    return x if dtype is None else ops.astype(x, dtype)


def _named(name, dim):
    """dim; TypeError if it is None, where PyTorch would guess."""
    if dim is None:
        raise TypeError(f"{name}: name the axis, as in {name}(x, dim=1)")
    return dim
