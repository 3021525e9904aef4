"""Multi-head attention as a module."""

from typing import Any

import numpy as np

from minigen import creation, ops
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn import init
from minigen.nn.linear import Linear
from minigen.nn.module import Module, Parameter
from minigen.ops.attention import attention_weights, check_mask
from minigen.random import Generator
from minigen.tensors import Tensor

NAME = "MultiheadAttention"


class MultiheadAttention(Module):
    """softmax(q @ k^T / sqrt(D)) @ v in num_heads subspaces side by side (Vaswani et al. 2017).

    query (T, B, embed_dim), key (S, B, kdim), value (S, B, vdim), or B first with batch_first,
    or without B. Masks are boolean, and True is masked OUT: key_padding_mask (B, S), attn_mask
    (T, S) or (B * num_heads, T, S). A query that may see nothing gets the output of a zero.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(
                f"{NAME}: embed_dim must be a multiple of num_heads, got {embed_dim}, {num_heads}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{NAME}: dropout must be in [0, 1], got {dropout}")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.batch_first, self.rng = batch_first, rng
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.in_proj_weight = self.in_proj_bias = None
        self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        if self.kdim == self.vdim == embed_dim:
            shape = (3 * embed_dim, embed_dim)
            self.in_proj_weight = Parameter(init.xavier_uniform(shape, **kind))
        else:
            for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
                weight = Parameter(init.xavier_uniform((embed_dim, size), **kind))
                setattr(self, f"{name}_proj_weight", weight)
        if bias:
            self.in_proj_bias = Parameter(creation.zeros(3 * embed_dim, dtype, device))
        self.out_proj = Linear(embed_dim, embed_dim, bias, **kind)
        if bias:
            self.out_proj.bias = Parameter(creation.zeros(embed_dim, dtype, device))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | Array | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, shaped like query, and the weights if needed: (B, T, S), a mean over heads.

        average_attn_weights=False gives (B, num_heads, T, S); need_weights=False is faster. With
        is_causal query t sees no key after t, beside what attn_mask says.
        """
        self._check(query, key, value)
        batched = query.ndim == 3
        q, k, v = self._projected(query, key, value)
        if not batched:
            q, k, v = (ops.expand_dims(x, 0 if self.batch_first else 1) for x in (q, k, v))
        q, k, v = map(self._heads, (q, k, v))
        mask = self._mask(q, k, key_padding_mask, attn_mask, batched)
        dropout, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            weights = attention_weights(q, k, mask, is_causal, q.shape[-1] ** -0.5)
            weights = ops.dropout(weights, dropout, rng=self.rng)
            y = ops.matmul(weights, v)  # (B, H, T, S) @ (B, H, S, D)
            weights = ops.mean(weights, 1) if average_attn_weights else weights
            weights = weights if batched else ops.squeeze(weights, 0)
        else:
            y = ops.scaled_dot_product_attention(q, k, v, mask, is_causal, dropout, rng=self.rng)
        # (B, H, T, D) to (B, T, H, D) or (T, B, H, D); then H and D become E again
        y = ops.transpose(y, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        return self.out_proj(ops.reshape(y, query.shape)), weights

    def _projected(self, query, key, value):
        """The queries, keys and values of all heads: (..., E) each, in as few products as can."""
        weight, bias, e = self.in_proj_weight, self.in_proj_bias, self.embed_dim
        if weight is not None and query is key is value:
            return ops.split(ops.linear(query, weight, bias), 3, -1)
        if weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = ops.split(weight, 3)
        biases = (None,) * 3 if bias is None else ops.split(bias, 3)
        if weight is not None and key is value:
            both = ops.linear(key, weight[e:], None if bias is None else bias[e:])
            return ops.linear(query, weights[0], biases[0]), *ops.split(both, 2, -1)
        return tuple(map(ops.linear, (query, key, value), weights, biases))

    def _heads(self, x):
        """(B, T, E) or (T, B, E) as (B, H, T, D), E = H * D."""
        x = ops.reshape(x, (*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads))
        return ops.transpose(x, (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    def _mask(self, q, k, key_padding_mask, attn_mask, batched):
        """One mask (B, H, T, S) or what broadcasts to it, True where a key takes part, or None."""
        batch, heads, queries, _ = q.shape
        keys, mask = k.shape[2], None
        if attn_mask is not None:
            mask = raw(attn_mask)
            full = (batch * heads, queries, keys)
            check_mask(NAME, "attn_mask", mask, full)
            if mask.ndim == 3 and len(mask) == batch * heads:
                mask = mask.reshape(batch, heads, *mask.shape[1:])
            mask = ~mask
        if key_padding_mask is not None:
            padding = raw(key_padding_mask)
            check_mask(NAME, "key_padding_mask", padding, (batch, keys) if batched else (keys,))
            padding = ~padding.reshape(-1, 1, 1, padding.shape[-1])  # (B, 1, 1, S)
            mask = padding if mask is None else mask & padding
        return mask

    def _check(self, query, key, value):
        shapes = f"{NAME}: query {query.shape}, key {key.shape}, value {value.shape}: "
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            raise ShapeError(shapes + "all must have 3 dims, or 2 without a batch")
        sizes = (self.embed_dim, self.kdim, self.vdim)
        if tuple(x.shape[-1] for x in (query, key, value)) != sizes:
            raise ShapeError(shapes + f"the last axes must have lengths {sizes}")
        axis = 0 if self.batch_first else 1
        if key.shape[:-1] != value.shape[:-1] or (
            query.ndim == 3 and query.shape[axis] != key.shape[axis]
        ):
            order = "(B, T, E)" if self.batch_first else "(T, B, E)"
            raise ShapeError(
                shapes + f"all need one batch, and key and value one length; the order is {order}"
            )

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}, batch_first={self.batch_first}"
