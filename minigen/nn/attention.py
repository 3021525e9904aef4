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
    """num_heads attentions softmax(q @ k^T / sqrt(D)) @ v in parallel (Vaswani et al. 2017).

    D = embed_dim / num_heads; q, k and v are linear in query (T, B, embed_dim), key (S, B, kdim)
    and value (S, B, vdim). B is the first axis with batch_first, and may be left out. In masks True
    is masked OUT, and floats are added to the scores: key_padding_mask (B, S), attn_mask (T, S) or
    (B * num_heads, T, S). A query whose keys are all masked gets 0. dropout is that of the weights.
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
        factory_kwargs = {"rng": rng, "dtype": dtype, "device": device}
        self.in_proj_weight = self.in_proj_bias = None
        self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        if self.kdim == self.vdim == embed_dim:
            shape = (3 * embed_dim, embed_dim)
            self.in_proj_weight = Parameter(init.xavier_uniform(shape, **factory_kwargs))
        else:
            for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
                weight = Parameter(init.xavier_uniform((embed_dim, size), **factory_kwargs))
                setattr(self, f"{name}_proj_weight", weight)
        if bias:
            self.in_proj_bias = Parameter(creation.zeros(3 * embed_dim, dtype, device))
        self.out_proj = Linear(embed_dim, embed_dim, bias, **factory_kwargs)
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
        """The output, of the shape of query, and the weights (B, T, S), averaged over the heads.

        average_attn_weights=False returns weights (B, num_heads, T, S); need_weights=False returns
        None for them, and is faster. With is_causal, query t takes keys 0..t only, of which
        attn_mask may mask more.
        """
        self._check(query, key, value)
        if query.dtype is not self.out_proj.weight.dtype:
            self.warn_of_dtype(query, self.out_proj.weight)
        batched = query.ndim == 3
        q, k, v = self._project(query, key, value)
        if not batched:
            q, k, v = (ops.expand_dims(x, 0 if self.batch_first else 1) for x in (q, k, v))
        q, k, v = map(self._split_heads, (q, k, v))
        mask = self._merged_mask(q, k, key_padding_mask, attn_mask, batched)
        dropout, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            weights = attention_weights(q, k, mask, is_causal, q.shape[-1] ** -0.5)
            weights = ops.dropout(weights, dropout, rng=self.rng)
            y = ops.matmul(weights, v)  # (B, H, T, S) @ (B, H, S, D)
            weights = ops.mean(weights, 1) if average_attn_weights else weights
            weights = weights if batched else ops.squeeze(weights, 0)
        else:
            y = ops.scaled_dot_product_attention(q, k, v, mask, is_causal, dropout, rng=self.rng)
        # (B, H, T, D) to (B, T, H, D) or (T, B, H, D), then to (B, T, E) or (T, B, E)
        y = ops.transpose(y, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        return self.out_proj(ops.reshape(y, query.shape)), weights

    def _project(self, query, key, value):
        """Queries, keys and values of all heads, (..., E) each.

        One product computes those that have the same input and the same weight matrix.
        """
        weight, bias, e = self.in_proj_weight, self.in_proj_bias, self.embed_dim
        if weight is not None and query is key is value:
            return ops.split(ops.linear(query, weight, bias), 3, -1)
        if weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = ops.split(weight, 3)
        biases = (None,) * 3 if bias is None else ops.split(bias, 3)
        if weight is not None and key is value:
            kv = ops.linear(key, weight[e:], None if bias is None else bias[e:])
            return ops.linear(query, weights[0], biases[0]), *ops.split(kv, 2, -1)
        return tuple(map(ops.linear, (query, key, value), weights, biases))

    def _split_heads(self, x):
        """(B, T, E) or (T, B, E) as (B, H, T, D), E = H * D."""
        x = ops.reshape(x, (*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads))
        return ops.transpose(x, (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    def _merged_mask(self, q, k, key_padding_mask, attn_mask, batched):
        """Both masks as one for scores (B, H, T, S), or None; q (B, H, T, D), k (B, H, S, D).

        It is True where a key takes part, or, if one of them is of floats, added to the scores.
        """
        B, H, T, _ = q.shape
        S, masks = k.shape[2], []
        if attn_mask is not None:
            check_mask(NAME, "attn_mask", raw(attn_mask), (B * H, T, S))
            if attn_mask.ndim == 3 and len(attn_mask) == B * H:
                attn_mask = ops.reshape(attn_mask, (B, H, *attn_mask.shape[1:]))
            masks.append(attn_mask)
        if key_padding_mask is not None:
            shape = (B, S) if batched else (S,)
            check_mask(NAME, "key_padding_mask", raw(key_padding_mask), shape)
            masks.append(ops.reshape(key_padding_mask, (-1, 1, 1, key_padding_mask.shape[-1])))
        if all(mask.dtype == bool for mask in masks):
            kept = [~raw(mask) for mask in masks]
            return kept[0] & kept[1] if len(kept) == 2 else kept[0] if kept else None
        # Booleans become floats, -inf where a key is masked out.
        floats = [ops.where(m, -np.inf, 0.0) if m.dtype == bool else m for m in masks]
        return ops.add(*floats) if len(floats) == 2 else floats[0]

    def _check(self, query, key, value):
        """Raise ShapeError unless the shapes of the three inputs fit."""
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
