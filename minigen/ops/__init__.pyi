"""The types of the public ops. `python tests/op_stubs.py` writes this file."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from minigen.backend.arrays import Shape
from minigen.ops.pooling import OutputSize
from minigen.ops.reduce import Axis
from minigen.ops.windows import IntOrPair
from minigen.random import Generator
from minigen.tensors import Tensor

Raw = np.ndarray[Any, Any] | np.generic | complex | Sequence[Any]  # Python floats are complex
TensorLike = Tensor | Raw

__all__ = [  # noqa: RUF022
    "abs",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "all",
    "any",
    "arccos",
    "arcsin",
    "arctan",
    "arctan2",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "ceil",
    "clip",
    "clone",
    "concatenate",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cos",
    "cosh",
    "crop",
    "cross_entropy",
    "cumprod",
    "cumsum",
    "divide",
    "dropout",
    "einsum",
    "elu",
    "embedding",
    "eq",
    "erf",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "flip",
    "floor",
    "floor_divide",
    "gather",
    "gaussian_kl",
    "gaussian_sample",
    "ge",
    "gelu",
    "getitem",
    "group_norm",
    "gru",
    "gt",
    "huber_loss",
    "interpolate",
    "isfinite",
    "isinf",
    "isnan",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "le",
    "leaky_relu",
    "linear",
    "log",
    "log10",
    "log1p",
    "log2",
    "log_sigmoid",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "lstm",
    "lt",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "mse_loss",
    "multiply",
    "ne",
    "negative",
    "nll_loss",
    "norm",
    "outer",
    "pad",
    "power",
    "prod",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "rms_norm",
    "rnn",
    "roll",
    "round",
    "scaled_dot_product_attention",
    "scatter_add",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "sum_to",
    "swapaxes",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "to_device",
    "topk",
    "transpose",
    "tril",
    "triu",
    "var",
    "where",
]

@overload
def abs(x: Raw) -> Any: ...
@overload
def abs(x: TensorLike) -> Tensor: ...
@overload
def adaptive_avg_pool2d(x: Raw, output_size: OutputSize) -> Any: ...
@overload
def adaptive_avg_pool2d(x: TensorLike, output_size: OutputSize) -> Tensor: ...
@overload
def adaptive_max_pool2d(x: Raw, output_size: OutputSize) -> Any: ...
@overload
def adaptive_max_pool2d(x: TensorLike, output_size: OutputSize) -> Tensor: ...
@overload
def add(a: Raw, b: Raw) -> Any: ...
@overload
def add(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def all(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def all(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def any(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def any(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def arccos(x: Raw) -> Any: ...
@overload
def arccos(x: TensorLike) -> Tensor: ...
@overload
def arcsin(x: Raw) -> Any: ...
@overload
def arcsin(x: TensorLike) -> Tensor: ...
@overload
def arctan(x: Raw) -> Any: ...
@overload
def arctan(x: TensorLike) -> Tensor: ...
@overload
def arctan2(a: Raw, b: Raw) -> Any: ...
@overload
def arctan2(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def argmax(
    x: Raw,
    axis: int | None = ...,
    keepdims: bool = ...,
    *,
    dim: int | None = ...,
    keepdim: bool = ...,
) -> Any: ...
@overload
def argmax(
    x: TensorLike,
    axis: int | None = ...,
    keepdims: bool = ...,
    *,
    dim: int | None = ...,
    keepdim: bool = ...,
) -> Tensor: ...
@overload
def argmin(
    x: Raw,
    axis: int | None = ...,
    keepdims: bool = ...,
    *,
    dim: int | None = ...,
    keepdim: bool = ...,
) -> Any: ...
@overload
def argmin(
    x: TensorLike,
    axis: int | None = ...,
    keepdims: bool = ...,
    *,
    dim: int | None = ...,
    keepdim: bool = ...,
) -> Tensor: ...
@overload
def argsort(x: Raw, axis: int = ..., descending: bool = ..., *, dim: int = ...) -> Any: ...
@overload
def argsort(
    x: TensorLike, axis: int = ..., descending: bool = ..., *, dim: int = ...
) -> Tensor: ...
@overload
def astype(x: Raw, dtype: Any) -> Any: ...
@overload
def astype(x: TensorLike, dtype: Any) -> Tensor: ...
@overload
def avg_pool1d(
    x: Raw,
    kernel_size: int,
    stride: int | None = ...,
    padding: int = ...,
    ceil_mode: bool = ...,
    count_include_pad: bool = ...,
) -> Any: ...
@overload
def avg_pool1d(
    x: TensorLike,
    kernel_size: int,
    stride: int | None = ...,
    padding: int = ...,
    ceil_mode: bool = ...,
    count_include_pad: bool = ...,
) -> Tensor: ...
@overload
def avg_pool2d(
    x: Raw,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = ...,
    padding: IntOrPair = ...,
    ceil_mode: bool = ...,
    count_include_pad: bool = ...,
) -> Any: ...
@overload
def avg_pool2d(
    x: TensorLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = ...,
    padding: IntOrPair = ...,
    ceil_mode: bool = ...,
    count_include_pad: bool = ...,
) -> Tensor: ...
@overload
def batch_norm(
    x: Raw,
    running_mean: Raw | None,
    running_var: Raw | None,
    weight: Raw | None = ...,
    bias: Raw | None = ...,
    training: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    synchronized: bool = ...,
) -> Any: ...
@overload
def batch_norm(
    x: TensorLike,
    running_mean: Raw | None,
    running_var: Raw | None,
    weight: Raw | None = ...,
    bias: Raw | None = ...,
    training: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    synchronized: bool = ...,
) -> Tensor: ...
@overload
def binary_cross_entropy(
    input: Raw, target: Raw, weight: Raw | None = ..., reduction: str = ...
) -> Any: ...
@overload
def binary_cross_entropy(
    input: TensorLike, target: TensorLike, weight: Raw | None = ..., reduction: str = ...
) -> Tensor: ...
@overload
def binary_cross_entropy_with_logits(
    input: Raw,
    target: Raw,
    weight: Raw | None = ...,
    pos_weight: Raw | None = ...,
    reduction: str = ...,
) -> Any: ...
@overload
def binary_cross_entropy_with_logits(
    input: TensorLike,
    target: TensorLike,
    weight: Raw | None = ...,
    pos_weight: Raw | None = ...,
    reduction: str = ...,
) -> Tensor: ...
@overload
def bitwise_and(a: Raw, b: Raw) -> Any: ...
@overload
def bitwise_and(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def bitwise_not(x: Raw) -> Any: ...
@overload
def bitwise_not(x: TensorLike) -> Tensor: ...
@overload
def bitwise_or(a: Raw, b: Raw) -> Any: ...
@overload
def bitwise_or(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def bitwise_xor(a: Raw, b: Raw) -> Any: ...
@overload
def bitwise_xor(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def broadcast_to(x: Raw, shape: Shape) -> Any: ...
@overload
def broadcast_to(x: TensorLike, shape: Shape) -> Tensor: ...
@overload
def ceil(x: Raw) -> Any: ...
@overload
def ceil(x: TensorLike) -> Tensor: ...
@overload
def clip(x: Raw, min: Raw | None = ..., max: Raw | None = ...) -> Any: ...
@overload
def clip(x: TensorLike, min: Raw | None = ..., max: Raw | None = ...) -> Tensor: ...
@overload
def clone(x: Raw) -> Any: ...
@overload
def clone(x: TensorLike) -> Tensor: ...
@overload
def concatenate(xs: Any, axis: int = ..., *, dim: int = ...) -> Any: ...
@overload
def concatenate(xs: Any, axis: int = ..., *, dim: int = ...) -> Tensor: ...
@overload
def conv1d(
    x: Raw,
    weight: Raw,
    bias: Raw | None = ...,
    stride: int = ...,
    padding: int | str = ...,
    dilation: int = ...,
    groups: int = ...,
) -> Any: ...
@overload
def conv1d(
    x: TensorLike,
    weight: TensorLike,
    bias: Raw | None = ...,
    stride: int = ...,
    padding: int | str = ...,
    dilation: int = ...,
    groups: int = ...,
) -> Tensor: ...
@overload
def conv2d(
    x: Raw,
    weight: Raw,
    bias: Raw | None = ...,
    stride: IntOrPair = ...,
    padding: IntOrPair | str = ...,
    dilation: IntOrPair = ...,
    groups: int = ...,
) -> Any: ...
@overload
def conv2d(
    x: TensorLike,
    weight: TensorLike,
    bias: Raw | None = ...,
    stride: IntOrPair = ...,
    padding: IntOrPair | str = ...,
    dilation: IntOrPair = ...,
    groups: int = ...,
) -> Tensor: ...
@overload
def conv_transpose2d(
    x: Raw,
    weight: Raw,
    bias: Raw | None = ...,
    stride: IntOrPair = ...,
    padding: IntOrPair = ...,
    output_padding: IntOrPair = ...,
    groups: int = ...,
    dilation: IntOrPair = ...,
) -> Any: ...
@overload
def conv_transpose2d(
    x: TensorLike,
    weight: TensorLike,
    bias: Raw | None = ...,
    stride: IntOrPair = ...,
    padding: IntOrPair = ...,
    output_padding: IntOrPair = ...,
    groups: int = ...,
    dilation: IntOrPair = ...,
) -> Tensor: ...
@overload
def cos(x: Raw) -> Any: ...
@overload
def cos(x: TensorLike) -> Tensor: ...
@overload
def cosh(x: Raw) -> Any: ...
@overload
def cosh(x: TensorLike) -> Tensor: ...
@overload
def crop(x: Raw, pad_width: tuple[tuple[int, int], ...]) -> Any: ...
@overload
def crop(x: TensorLike, pad_width: tuple[tuple[int, int], ...]) -> Tensor: ...
@overload
def cross_entropy(
    logits: Raw,
    target: Raw,
    weight: Raw | None = ...,
    reduction: str = ...,
    ignore_index: int | None = ...,
    label_smoothing: float = ...,
) -> Any: ...
@overload
def cross_entropy(
    logits: TensorLike,
    target: TensorLike,
    weight: Raw | None = ...,
    reduction: str = ...,
    ignore_index: int | None = ...,
    label_smoothing: float = ...,
) -> Tensor: ...
@overload
def cumprod(x: Raw, axis: int = ..., *, dim: int = ...) -> Any: ...
@overload
def cumprod(x: TensorLike, axis: int = ..., *, dim: int = ...) -> Tensor: ...
@overload
def cumsum(x: Raw, axis: int = ..., *, dim: int = ...) -> Any: ...
@overload
def cumsum(x: TensorLike, axis: int = ..., *, dim: int = ...) -> Tensor: ...
@overload
def divide(a: Raw, b: Raw) -> Any: ...
@overload
def divide(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def dropout(
    x: Raw,
    p: float = ...,
    training: bool = ...,
    rng: Generator | None = ...,
    batch_axis: int | None = ...,
) -> Any: ...
@overload
def dropout(
    x: TensorLike,
    p: float = ...,
    training: bool = ...,
    rng: Generator | None = ...,
    batch_axis: int | None = ...,
) -> Tensor: ...
@overload
def einsum(spec: str, *operands: Raw) -> Any: ...
@overload
def einsum(spec: str, *operands: TensorLike) -> Tensor: ...
@overload
def elu(x: Raw, alpha: float = ...) -> Any: ...
@overload
def elu(x: TensorLike, alpha: float = ...) -> Tensor: ...
@overload
def embedding(index: Raw, weight: Raw) -> Any: ...
@overload
def embedding(index: TensorLike, weight: TensorLike) -> Tensor: ...
@overload
def eq(a: Raw, b: Raw) -> Any: ...
@overload
def eq(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def erf(x: Raw) -> Any: ...
@overload
def erf(x: TensorLike) -> Tensor: ...
@overload
def exp(x: Raw) -> Any: ...
@overload
def exp(x: TensorLike) -> Tensor: ...
@overload
def exp2(x: Raw) -> Any: ...
@overload
def exp2(x: TensorLike) -> Tensor: ...
@overload
def expand_dims(
    x: Raw, axis: int | tuple[int, ...] = ..., *, dim: int | tuple[int, ...] = ...
) -> Any: ...
@overload
def expand_dims(
    x: TensorLike, axis: int | tuple[int, ...] = ..., *, dim: int | tuple[int, ...] = ...
) -> Tensor: ...
@overload
def expm1(x: Raw) -> Any: ...
@overload
def expm1(x: TensorLike) -> Tensor: ...
@overload
def flip(
    x: Raw, axis: int | tuple[int, ...] | None = ..., *, dim: int | tuple[int, ...] | None = ...
) -> Any: ...
@overload
def flip(
    x: TensorLike,
    axis: int | tuple[int, ...] | None = ...,
    *,
    dim: int | tuple[int, ...] | None = ...,
) -> Tensor: ...
@overload
def floor(x: Raw) -> Any: ...
@overload
def floor(x: TensorLike) -> Tensor: ...
@overload
def floor_divide(a: Raw, b: Raw) -> Any: ...
@overload
def floor_divide(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def gather(x: Raw, axis: int = ..., index: Raw = ..., *, dim: int = ...) -> Any: ...
@overload
def gather(
    x: TensorLike, axis: int = ..., index: TensorLike = ..., *, dim: int = ...
) -> Tensor: ...
@overload
def gaussian_kl(mean: Raw, logvar: Raw) -> Any: ...
@overload
def gaussian_kl(mean: TensorLike, logvar: TensorLike) -> Tensor: ...
@overload
def gaussian_sample(mean: Raw, logvar: Raw, noise: Raw) -> Any: ...
@overload
def gaussian_sample(mean: TensorLike, logvar: TensorLike, noise: TensorLike) -> Tensor: ...
@overload
def ge(a: Raw, b: Raw) -> Any: ...
@overload
def ge(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def gelu(x: Raw, approximate: str = ...) -> Any: ...
@overload
def gelu(x: TensorLike, approximate: str = ...) -> Tensor: ...
@overload
def getitem(x: Raw, index: Any) -> Any: ...
@overload
def getitem(x: TensorLike, index: Any) -> Tensor: ...
@overload
def group_norm(
    x: Raw, num_groups: int, weight: Raw | None = ..., bias: Raw | None = ..., eps: float = ...
) -> Any: ...
@overload
def group_norm(
    x: TensorLike,
    num_groups: int,
    weight: Raw | None = ...,
    bias: Raw | None = ...,
    eps: float = ...,
) -> Tensor: ...
@overload
def gru(
    x: Raw,
    h0: Raw,
    weight_ih: Raw,
    weight_hh: Raw,
    bias_ih: Raw | None = ...,
    bias_hh: Raw | None = ...,
    lengths: Sequence[int] | Raw | None = ...,
) -> tuple[Any, Any]: ...
@overload
def gru(
    x: TensorLike,
    h0: TensorLike,
    weight_ih: TensorLike,
    weight_hh: TensorLike,
    bias_ih: Raw | None = ...,
    bias_hh: Raw | None = ...,
    lengths: Sequence[int] | Raw | None = ...,
) -> tuple[Any, Any]: ...
@overload
def gt(a: Raw, b: Raw) -> Any: ...
@overload
def gt(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def huber_loss(input: Raw, target: Raw, reduction: str = ..., delta: float = ...) -> Any: ...
@overload
def huber_loss(
    input: TensorLike, target: TensorLike, reduction: str = ..., delta: float = ...
) -> Tensor: ...
@overload
def interpolate(
    x: Raw,
    scale_factor: float | tuple[float, float] | None = ...,
    size: IntOrPair | None = ...,
    mode: str = ...,
    align_corners: bool = ...,
) -> Any: ...
@overload
def interpolate(
    x: TensorLike,
    scale_factor: float | tuple[float, float] | None = ...,
    size: IntOrPair | None = ...,
    mode: str = ...,
    align_corners: bool = ...,
) -> Tensor: ...
@overload
def isfinite(x: Raw) -> Any: ...
@overload
def isfinite(x: TensorLike) -> Tensor: ...
@overload
def isinf(x: Raw) -> Any: ...
@overload
def isinf(x: TensorLike) -> Tensor: ...
@overload
def isnan(x: Raw) -> Any: ...
@overload
def isnan(x: TensorLike) -> Tensor: ...
@overload
def kl_div(input: Raw, target: Raw, log_target: bool = ..., reduction: str = ...) -> Any: ...
@overload
def kl_div(
    input: TensorLike, target: TensorLike, log_target: bool = ..., reduction: str = ...
) -> Tensor: ...
@overload
def l1_loss(input: Raw, target: Raw, reduction: str = ...) -> Any: ...
@overload
def l1_loss(input: TensorLike, target: TensorLike, reduction: str = ...) -> Tensor: ...
@overload
def layer_norm(
    x: Raw,
    normalized_shape: int | tuple[int, ...],
    weight: Raw | None = ...,
    bias: Raw | None = ...,
    eps: float = ...,
) -> Any: ...
@overload
def layer_norm(
    x: TensorLike,
    normalized_shape: int | tuple[int, ...],
    weight: Raw | None = ...,
    bias: Raw | None = ...,
    eps: float = ...,
) -> Tensor: ...
@overload
def le(a: Raw, b: Raw) -> Any: ...
@overload
def le(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def leaky_relu(x: Raw, negative_slope: float = ...) -> Any: ...
@overload
def leaky_relu(x: TensorLike, negative_slope: float = ...) -> Tensor: ...
@overload
def linear(x: Raw, weight: Raw, bias: Raw | None = ...) -> Any: ...
@overload
def linear(x: TensorLike, weight: TensorLike, bias: Raw | None = ...) -> Tensor: ...
@overload
def log(x: Raw) -> Any: ...
@overload
def log(x: TensorLike) -> Tensor: ...
@overload
def log10(x: Raw) -> Any: ...
@overload
def log10(x: TensorLike) -> Tensor: ...
@overload
def log1p(x: Raw) -> Any: ...
@overload
def log1p(x: TensorLike) -> Tensor: ...
@overload
def log2(x: Raw) -> Any: ...
@overload
def log2(x: TensorLike) -> Tensor: ...
@overload
def log_sigmoid(x: Raw) -> Any: ...
@overload
def log_sigmoid(x: TensorLike) -> Tensor: ...
@overload
def log_softmax(x: Raw, axis: int = ..., *, dim: int = ...) -> Any: ...
@overload
def log_softmax(x: TensorLike, axis: int = ..., *, dim: int = ...) -> Tensor: ...
@overload
def logical_and(a: Raw, b: Raw) -> Any: ...
@overload
def logical_and(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def logical_not(x: Raw) -> Any: ...
@overload
def logical_not(x: TensorLike) -> Tensor: ...
@overload
def logical_or(a: Raw, b: Raw) -> Any: ...
@overload
def logical_or(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def logical_xor(a: Raw, b: Raw) -> Any: ...
@overload
def logical_xor(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def logsumexp(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def logsumexp(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def lstm(
    x: Raw,
    h0: Raw,
    c0: Raw,
    weight_ih: Raw,
    weight_hh: Raw,
    bias_ih: Raw | None = ...,
    bias_hh: Raw | None = ...,
    lengths: Sequence[int] | Raw | None = ...,
) -> tuple[Any, Any, Any]: ...
@overload
def lstm(
    x: TensorLike,
    h0: TensorLike,
    c0: TensorLike,
    weight_ih: TensorLike,
    weight_hh: TensorLike,
    bias_ih: Raw | None = ...,
    bias_hh: Raw | None = ...,
    lengths: Sequence[int] | Raw | None = ...,
) -> tuple[Any, Any, Any]: ...
@overload
def lt(a: Raw, b: Raw) -> Any: ...
@overload
def lt(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def matmul(a: Raw, b: Raw) -> Any: ...
@overload
def matmul(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def max(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def max(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def max_pool1d(
    x: Raw, kernel_size: int, stride: int | None = ..., padding: int = ..., ceil_mode: bool = ...
) -> Any: ...
@overload
def max_pool1d(
    x: TensorLike,
    kernel_size: int,
    stride: int | None = ...,
    padding: int = ...,
    ceil_mode: bool = ...,
) -> Tensor: ...
@overload
def max_pool2d(
    x: Raw,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = ...,
    padding: IntOrPair = ...,
    ceil_mode: bool = ...,
) -> Any: ...
@overload
def max_pool2d(
    x: TensorLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = ...,
    padding: IntOrPair = ...,
    ceil_mode: bool = ...,
) -> Tensor: ...
@overload
def maximum(a: Raw, b: Raw) -> Any: ...
@overload
def maximum(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def mean(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def mean(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def min(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def min(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def minimum(a: Raw, b: Raw) -> Any: ...
@overload
def minimum(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def moveaxis(x: Raw, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Any: ...
@overload
def moveaxis(
    x: TensorLike, source: int | tuple[int, ...], destination: int | tuple[int, ...]
) -> Tensor: ...
@overload
def mse_loss(input: Raw, target: Raw, reduction: str = ...) -> Any: ...
@overload
def mse_loss(input: TensorLike, target: TensorLike, reduction: str = ...) -> Tensor: ...
@overload
def multiply(a: Raw, b: Raw) -> Any: ...
@overload
def multiply(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def ne(a: Raw, b: Raw) -> Any: ...
@overload
def ne(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def negative(x: Raw) -> Any: ...
@overload
def negative(x: TensorLike) -> Tensor: ...
@overload
def nll_loss(
    input: Raw,
    target: Raw,
    weight: Raw | None = ...,
    reduction: str = ...,
    ignore_index: int | None = ...,
) -> Any: ...
@overload
def nll_loss(
    input: TensorLike,
    target: TensorLike,
    weight: Raw | None = ...,
    reduction: str = ...,
    ignore_index: int | None = ...,
) -> Tensor: ...
@overload
def norm(
    x: Raw,
    ord: float = ...,
    axis: Axis = ...,
    keepdims: bool = ...,
    *,
    dim: Axis = ...,
    keepdim: bool = ...,
) -> Any: ...
@overload
def norm(
    x: TensorLike,
    ord: float = ...,
    axis: Axis = ...,
    keepdims: bool = ...,
    *,
    dim: Axis = ...,
    keepdim: bool = ...,
) -> Tensor: ...
@overload
def outer(a: Raw, b: Raw) -> Any: ...
@overload
def outer(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def pad(x: Raw, pad_width: Any, value: float = ..., mode: str = ...) -> Any: ...
@overload
def pad(x: TensorLike, pad_width: Any, value: float = ..., mode: str = ...) -> Tensor: ...
@overload
def power(a: Raw, b: Raw) -> Any: ...
@overload
def power(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def prod(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def prod(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def reciprocal(x: Raw) -> Any: ...
@overload
def reciprocal(x: TensorLike) -> Tensor: ...
@overload
def relu(x: Raw) -> Any: ...
@overload
def relu(x: TensorLike) -> Tensor: ...
@overload
def remainder(a: Raw, b: Raw) -> Any: ...
@overload
def remainder(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def repeat(x: Raw, repeats: int | Raw, axis: int | None = ..., *, dim: int | None = ...) -> Any: ...
@overload
def repeat(
    x: TensorLike, repeats: int | Raw, axis: int | None = ..., *, dim: int | None = ...
) -> Tensor: ...
@overload
def reshape(x: Raw, shape: int | Shape) -> Any: ...
@overload
def reshape(x: TensorLike, shape: int | Shape) -> Tensor: ...
@overload
def rms_norm(
    x: Raw,
    normalized_shape: int | tuple[int, ...],
    weight: Raw | None = ...,
    eps: float | None = ...,
) -> Any: ...
@overload
def rms_norm(
    x: TensorLike,
    normalized_shape: int | tuple[int, ...],
    weight: Raw | None = ...,
    eps: float | None = ...,
) -> Tensor: ...
@overload
def rnn(
    x: Raw,
    h0: Raw,
    weight_ih: Raw,
    weight_hh: Raw,
    bias_ih: Raw | None = ...,
    bias_hh: Raw | None = ...,
    nonlinearity: str = ...,
    lengths: Sequence[int] | Raw | None = ...,
) -> tuple[Any, Any]: ...
@overload
def rnn(
    x: TensorLike,
    h0: TensorLike,
    weight_ih: TensorLike,
    weight_hh: TensorLike,
    bias_ih: Raw | None = ...,
    bias_hh: Raw | None = ...,
    nonlinearity: str = ...,
    lengths: Sequence[int] | Raw | None = ...,
) -> tuple[Any, Any]: ...
@overload
def roll(
    x: Raw,
    shift: int | tuple[int, ...],
    axis: int | tuple[int, ...] | None = ...,
    *,
    dim: int | tuple[int, ...] | None = ...,
) -> Any: ...
@overload
def roll(
    x: TensorLike,
    shift: int | tuple[int, ...],
    axis: int | tuple[int, ...] | None = ...,
    *,
    dim: int | tuple[int, ...] | None = ...,
) -> Any: ...
@overload
def round(x: Raw, decimals: int = ...) -> Any: ...
@overload
def round(x: TensorLike, decimals: int = ...) -> Tensor: ...
@overload
def scaled_dot_product_attention(
    q: Raw,
    k: Raw,
    v: Raw,
    mask: Raw | None = ...,
    is_causal: bool = ...,
    dropout_p: float = ...,
    scale: float | None = ...,
    rng: Generator | None = ...,
) -> Any: ...
@overload
def scaled_dot_product_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    mask: Raw | None = ...,
    is_causal: bool = ...,
    dropout_p: float = ...,
    scale: float | None = ...,
    rng: Generator | None = ...,
) -> Tensor: ...
@overload
def scatter_add(x: Raw, index: Any, updates: Raw) -> Any: ...
@overload
def scatter_add(x: TensorLike, index: Any, updates: TensorLike) -> Tensor: ...
@overload
def sigmoid(x: Raw) -> Any: ...
@overload
def sigmoid(x: TensorLike) -> Tensor: ...
@overload
def sign(x: Raw) -> Any: ...
@overload
def sign(x: TensorLike) -> Tensor: ...
@overload
def silu(x: Raw) -> Any: ...
@overload
def silu(x: TensorLike) -> Tensor: ...
@overload
def sin(x: Raw) -> Any: ...
@overload
def sin(x: TensorLike) -> Tensor: ...
@overload
def sinh(x: Raw) -> Any: ...
@overload
def sinh(x: TensorLike) -> Tensor: ...
@overload
def smooth_l1_loss(input: Raw, target: Raw, reduction: str = ..., beta: float = ...) -> Any: ...
@overload
def smooth_l1_loss(
    input: TensorLike, target: TensorLike, reduction: str = ..., beta: float = ...
) -> Tensor: ...
@overload
def softmax(x: Raw, axis: int = ..., *, dim: int = ...) -> Any: ...
@overload
def softmax(x: TensorLike, axis: int = ..., *, dim: int = ...) -> Tensor: ...
@overload
def softplus(x: Raw, beta: float = ..., threshold: float = ...) -> Any: ...
@overload
def softplus(x: TensorLike, beta: float = ..., threshold: float = ...) -> Tensor: ...
@overload
def sort(x: Raw, axis: int = ..., descending: bool = ..., *, dim: int = ...) -> tuple[Any, Any]: ...
@overload
def sort(
    x: TensorLike, axis: int = ..., descending: bool = ..., *, dim: int = ...
) -> tuple[Any, Any]: ...
@overload
def split(x: Raw, sections_or_indices: Any, axis: int = ..., *, dim: int = ...) -> tuple: ...
@overload
def split(x: TensorLike, sections_or_indices: Any, axis: int = ..., *, dim: int = ...) -> tuple: ...
@overload
def sqrt(x: Raw) -> Any: ...
@overload
def sqrt(x: TensorLike) -> Tensor: ...
@overload
def square(x: Raw) -> Any: ...
@overload
def square(x: TensorLike) -> Tensor: ...
@overload
def squeeze(
    x: Raw, axis: int | tuple[int, ...] | None = ..., *, dim: int | tuple[int, ...] | None = ...
) -> Any: ...
@overload
def squeeze(
    x: TensorLike,
    axis: int | tuple[int, ...] | None = ...,
    *,
    dim: int | tuple[int, ...] | None = ...,
) -> Tensor: ...
@overload
def stack(xs: Any, axis: int = ..., *, dim: int = ...) -> Any: ...
@overload
def stack(xs: Any, axis: int = ..., *, dim: int = ...) -> Tensor: ...
@overload
def std(
    x: Raw,
    axis: Axis = ...,
    ddof: float = ...,
    keepdims: bool = ...,
    *,
    dim: Axis = ...,
    keepdim: bool = ...,
) -> Any: ...
@overload
def std(
    x: TensorLike,
    axis: Axis = ...,
    ddof: float = ...,
    keepdims: bool = ...,
    *,
    dim: Axis = ...,
    keepdim: bool = ...,
) -> Tensor: ...
@overload
def subtract(a: Raw, b: Raw) -> Any: ...
@overload
def subtract(a: TensorLike, b: TensorLike) -> Tensor: ...
@overload
def sum(
    x: Raw, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Any: ...
@overload
def sum(
    x: TensorLike, axis: Axis = ..., keepdims: bool = ..., *, dim: Axis = ..., keepdim: bool = ...
) -> Tensor: ...
@overload
def sum_to(x: Raw, shape: Shape) -> Any: ...
@overload
def sum_to(x: TensorLike, shape: Shape) -> Tensor: ...
@overload
def swapaxes(x: Raw, axis1: int, axis2: int) -> Any: ...
@overload
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor: ...
@overload
def take_along_axis(
    x: Raw, index: Raw, axis: int | None = ..., *, dim: int | None = ...
) -> Any: ...
@overload
def take_along_axis(
    x: TensorLike, index: TensorLike, axis: int | None = ..., *, dim: int | None = ...
) -> Tensor: ...
@overload
def tan(x: Raw) -> Any: ...
@overload
def tan(x: TensorLike) -> Tensor: ...
@overload
def tanh(x: Raw) -> Any: ...
@overload
def tanh(x: TensorLike) -> Tensor: ...
@overload
def tensordot(a: Raw, b: Raw, axes: int | tuple = ...) -> Any: ...
@overload
def tensordot(a: TensorLike, b: TensorLike, axes: int | tuple = ...) -> Tensor: ...
@overload
def tile(x: Raw, reps: int | tuple[int, ...]) -> Any: ...
@overload
def tile(x: TensorLike, reps: int | tuple[int, ...]) -> Tensor: ...
@overload
def to_device(x: Raw, device: str) -> Any: ...
@overload
def to_device(x: TensorLike, device: str) -> Tensor: ...
@overload
def topk(
    x: Raw, k: int, axis: int = ..., largest: bool = ..., *, dim: int = ...
) -> tuple[Any, Any]: ...
@overload
def topk(
    x: TensorLike, k: int, axis: int = ..., largest: bool = ..., *, dim: int = ...
) -> tuple[Any, Any]: ...
@overload
def transpose(x: Raw, axes: tuple[int, ...] | None = ...) -> Any: ...
@overload
def transpose(x: TensorLike, axes: tuple[int, ...] | None = ...) -> Tensor: ...
@overload
def tril(x: Raw, k: int = ...) -> Any: ...
@overload
def tril(x: TensorLike, k: int = ...) -> Tensor: ...
@overload
def triu(x: Raw, k: int = ...) -> Any: ...
@overload
def triu(x: TensorLike, k: int = ...) -> Tensor: ...
@overload
def var(
    x: Raw,
    axis: Axis = ...,
    ddof: float = ...,
    keepdims: bool = ...,
    *,
    dim: Axis = ...,
    keepdim: bool = ...,
) -> Any: ...
@overload
def var(
    x: TensorLike,
    axis: Axis = ...,
    ddof: float = ...,
    keepdims: bool = ...,
    *,
    dim: Axis = ...,
    keepdim: bool = ...,
) -> Tensor: ...
@overload
def where(condition: Raw, a: Raw, b: Raw) -> Any: ...
@overload
def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor: ...
