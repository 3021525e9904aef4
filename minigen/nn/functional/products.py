"""Products, lookups, dropout and attention as functions, with PyTorch's signatures."""

import numpy as np

from minigen import creation, ops
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array
from minigen.backend.devices import to_numpy
from minigen.errors import ShapeError
from minigen.nn.options import refuse
from minigen.ops.indexing import whole_numbers
from minigen.random import Generator
from minigen.tensors import Tensor

Index = Tensor | Array | list
Optional = Tensor | Array | None


def linear(input: Tensor, weight: Tensor, bias: Optional = None) -> Tensor:
    """x @ weight.T + bias: x (..., in), weight (out, in), bias (out,)."""
    return ops.linear(input, weight, bias)


def embedding(input: Index, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of weight (N, D) by index (...): (..., D). Row padding_idx gets no gradient."""
    y = ops.embedding(input, weight)
    if padding_idx is None:
        return y
    index = whole_numbers("embedding: index", input, weight)
    row = padding_row("embedding", padding_idx, weight.shape[0])
    return ops.where((index == row)[..., None], raw(y), y)


def padding_row(name: str, padding_idx: int, rows: int) -> int:
    """padding_idx counted from the start; ValueError if there is no such row."""
    if not -rows <= padding_idx < rows:
        raise ValueError(f"{name}: padding_idx={padding_idx} is not one of {rows} rows")
    return int(padding_idx) % rows


def one_hot(input: Index, num_classes: int = -1) -> Tensor:
    """Integer one-hot vectors (..., num_classes); -1 takes the largest index plus 1."""
    if num_classes == -1:
        index = to_numpy(raw(input)) if hasattr(input, "dtype") else np.asarray(input)
        if not index.size:
            raise ShapeError("one_hot: num_classes is needed, since there is no index")
        num_classes = int(index.max()) + 1
    return creation.one_hot(input, num_classes, np.int64)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| |x2|) along dim, each norm at least eps."""
    norms = [ops.maximum(ops.norm(x, axis=dim, keepdims=True), eps) for x in (x1, x2)]
    return ops.sum(ops.multiply(x1 / norms[0], x2 / norms[1]), dim)


def normalize(
    input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12
) -> Tensor:
    """x / max(|x|, eps), the p-norm along dim."""
    return input / ops.maximum(ops.norm(input, p, axis=dim, keepdims=True), eps)


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Generator | None = None,
    batch_axis: int | None = 0,
) -> Tensor:
    """Each value 0 with probability p, else x / (1 - p); inplace is ignored. See `ops.dropout`."""
    return ops.dropout(input, p, training, rng, batch_axis)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Optional = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    rng: Generator | None = None,
) -> Tensor:
    """softmax(scale q @ k^T + attn_mask) @ v; a boolean mask is True where a key takes part."""
    refuse("scaled_dot_product_attention", "repeat key and value", enable_gqa=(enable_gqa, False))
    return ops.scaled_dot_product_attention(
        query, key, value, attn_mask, is_causal, dropout_p, scale, rng
    )
