"""The decoder-only Transformer: GPT (Radford et al. 2018 and 2019; Vaswani et al. 2017).

Each token of a text is predicted from all previous ones,

    log p(x) = sum over t of log softmax(W h_t)[x_t+1],    h = blocks(embed(x) + position),

and training minimizes the mean of -log p over the tokens. A block adds to its input the output of
causal self-attention, then the output of two dense layers; both read a normalised input
(pre-norm). W is the embedding matrix (tied weights; Press and Wolf 2017).
"""

import math
from typing import Any

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array, array_module
from minigen.creation import zeros
from minigen.errors import ShapeError
from minigen.models.generation import Autoregressive
from minigen.nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList, Parameter, init
from minigen.ops.indexing import whole_numbers
from minigen.random import Generator
from minigen.tensors import Tensor

STD = 0.02  # standard deviation of the initial weights, as in GPT-2
Cache = list[Tensor]  # [] or [keys, values] of one block, (B, H, T, D) each


def _dense(inputs: int, outputs: int, std: float, factory: dict) -> Linear:
    """A linear layer with weights from N(0, std^2) and zero bias."""
    layer = Linear(inputs, outputs, **factory)
    layer.weight = Parameter(init.normal((outputs, inputs), std, **factory))
    layer.bias = Parameter(zeros(outputs, factory["dtype"], factory["device"]))
    return layer


def _embedding(rows: int, width: int, factory: dict) -> Embedding:
    """An embedding with weights from N(0, STD^2) instead of its default N(0, 1)."""
    embedding = Embedding(rows, width, **factory)
    embedding.weight = Parameter(init.normal((rows, width), STD, **factory))
    return embedding


class Block(Module):
    """x + attention(norm1(x)), then x + mlp(norm2(x)); x (B, T, width), causal attention.

    residual_std is that of the layers whose output is added to x. `factory` is {"rng", "dtype",
    "device"}.
    """

    def __init__(self, heads: int, width: int, dropout: float, residual_std: float, factory: dict):
        self.heads, self.dropout, self.rng = heads, dropout, factory["rng"]
        dtype_device = {"dtype": factory["dtype"], "device": factory["device"]}
        self.norm1 = LayerNorm(width, **dtype_device)
        self.qkv = _dense(width, 3 * width, STD, factory)
        self.out_proj = _dense(width, width, residual_std, factory)
        self.norm2 = LayerNorm(width, **dtype_device)
        self.up = _dense(width, 4 * width, STD, factory)
        self.down = _dense(4 * width, width, residual_std, factory)
        self.drop = Dropout(dropout, rng=self.rng)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        x = x + self.drop(self.out_proj(self._attention(self.norm1(x), cache)))
        return x + self.drop(self.down(ops.gelu(self.up(self.norm2(x)), "tanh")))  # as GPT-2

    def _attention(self, x, cache):
        """Causal self-attention of x (B, T, width); appends the new keys and values to cache."""
        B, T, W = x.shape
        H, D = self.heads, W // self.heads
        parts = ops.split(self.qkv(x), 3, -1)  # (B, T, W) each
        parts = (ops.reshape(part, (B, T, H, D)) for part in parts)
        q, k, v = (ops.transpose(part, (0, 2, 1, 3)) for part in parts)  # (B, H, T, D)
        if cache is not None:
            if cache:
                k, v = ops.concatenate([cache[0], k], 2), ops.concatenate([cache[1], v], 2)
            cache[:] = k, v
        past, mask = k.shape[2] - T, None
        if past and T > 1:  # is_causal would align the first query with the first cached key
            xp = array_module(x.data)
            mask = xp.arange(past + T) <= past + xp.arange(T)[:, None]  # (T, past + T)
        dropout = self.dropout if self.training else 0.0
        y = ops.scaled_dot_product_attention(q, k, v, mask, past == 0, dropout, rng=self.rng)
        return ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (B, T, W))  # heads concatenated


class GPT(Autoregressive):
    """Logits (B, T, vocab) of the token after each of the ids (B, T), T at most context."""

    def __init__(
        self,
        vocab: int,
        context: int = 64,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        dropout: float = 0.0,
        tied: bool = True,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if min(vocab, context, layers, heads, width) < 1 or width % heads:
            raise ValueError(
                "GPT: all sizes must be at least 1 and width a multiple of heads, got "
                f"{vocab=} {context=} {layers=} {heads=} {width=}"
            )
        self.vocab, self.context = vocab, context
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.token = _embedding(vocab, width, factory)
        self.position = _embedding(context, width, factory)
        self.drop = Dropout(dropout, rng=rng)
        # 2 * layers outputs are added to the residual stream. With STD for each, its variance would
        # grow with depth; GPT-2 therefore divides by the square root of their number.
        residual_std = STD / math.sqrt(2 * layers)
        blocks = [Block(heads, width, dropout, residual_std, factory) for _ in range(layers)]
        self.blocks = ModuleList(blocks)
        self.norm = LayerNorm(width, dtype=dtype, device=device)
        self.head = None if tied else Parameter(init.normal((vocab, width), STD, **factory))

    def forward(self, ids: Tensor | Array, caches: list[Cache] | None = None) -> Tensor:
        """With caches, one per block, ids continue the tokens whose keys are cached."""
        ids = whole_numbers("GPT: ids", ids, self.token.weight)
        start = caches[0][0].shape[2] if caches and caches[0] else 0
        if ids.ndim != 2 or start + ids.shape[1] > self.context:
            raise ShapeError(
                f"GPT: ids {ids.shape} after {start} cached must be (B, T), "
                f"no longer than the context, {self.context}; cut them to the last ones"
            )
        positions = array_module(ids).arange(start, start + ids.shape[1])
        x = self.drop(self.token(ids) + self.position(positions))  # (B, T, W) + (T, W)
        for i, block in enumerate(self.blocks):
            x = block(x, caches[i] if caches else None)
        return ops.linear(self.norm(x), self.token.weight if self.head is None else self.head)

    def loss(self, ids: Tensor | Array, targets: Tensor | Array) -> Tensor:
        """The mean of -log p of targets (B, T), the next tokens, in nats a token."""
        logits = self(ids)
        rows = ops.reshape(logits, (-1, self.vocab))  # (B * T, vocab)
        targets = whole_numbers("GPT: targets", targets, logits)
        return ops.cross_entropy(rows, targets.reshape(-1))

    def next_logits(
        self, ids: Array, state: Any, use_cache: bool = True
    ) -> tuple[Tensor, list[Cache]]:
        """Logits (B, vocab) after the last `context` of ids (B, T).

        The state is the cache of keys and values, which is used until the context is full: then
        the window moves, and with it all positions.
        """
        caches = [[] for _ in self.blocks] if state is None else state
        if use_cache and ids.shape[1] <= self.context:
            return self(ids[:, -1:] if caches[0] else ids, caches)[:, -1], caches
        return self(ids[:, -self.context :])[:, -1], caches
