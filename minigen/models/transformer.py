"""The decoder-only Transformer: GPT (Radford et al. 2018 and 2019; Vaswani et al. 2017).

A text is modelled token by token, each given all before it,

    log p(x) = sum over t of log softmax(W h_t)[x_t+1],    h = blocks(embed(x) + position),

and training lowers the mean of -log p over the tokens. A block adds to its input what its heads
find at earlier positions, then what two dense layers make of that, each from a normalised input
(pre-norm). W is the embedding itself (tied; Press and Wolf 2017).
"""

import math
from typing import Any

import numpy as np

from minigen import ops
from minigen.autodiff.graph import grad_mode
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, array_module
from minigen.creation import zeros
from minigen.errors import ShapeError
from minigen.models.sampling import sampled
from minigen.nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList, Parameter, init
from minigen.random import Generator
from minigen.tensors import Tensor

STD = 0.02  # of initial weights, as in GPT-2
Cache = list[Tensor]  # keys and values of one block, (B, H, T, D) each; empty at first


def _dense(inputs: int, outputs: int, std: float, kind: dict) -> Linear:
    """A dense layer with normal weights and zero biases."""
    layer = Linear(inputs, outputs, **kind)
    layer.weight = Parameter(init.normal((outputs, inputs), std, **kind))
    layer.bias = Parameter(zeros(outputs, kind["dtype"], kind["device"]))
    return layer


def _table(count: int, width: int, kind: dict) -> Embedding:
    """An embedding with smaller initial vectors than its own."""
    table = Embedding(count, width, **kind)
    table.weight = Parameter(init.normal((count, width), STD, **kind))
    return table


class Block(Module):
    """x + attention(norm(x)), then x + dense(norm(x)); x (B, T, width), causal."""

    def __init__(self, heads: int, width: int, dropout: float, residual_std: float, kind: dict):
        self.heads, self.dropout, self.rng = heads, dropout, kind["rng"]
        place = {"dtype": kind["dtype"], "device": kind["device"]}
        self.norm1 = LayerNorm(width, **place)
        self.qkv = _dense(width, 3 * width, STD, kind)
        self.attended = _dense(width, width, residual_std, kind)
        self.norm2 = LayerNorm(width, **place)
        self.up = _dense(width, 4 * width, STD, kind)
        self.down = _dense(4 * width, width, residual_std, kind)
        self.drop = Dropout(dropout, rng=self.rng)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        x = x + self.drop(self.attended(self._attention(self.norm1(x), cache)))
        return x + self.drop(self.down(ops.gelu(self.up(self.norm2(x)), "tanh")))  # as GPT-2

    def _attention(self, x, cache):
        B, T, W = x.shape
        sides = (B, T, self.heads, W // self.heads)
        parts = (ops.reshape(part, sides) for part in ops.split(self.qkv(x), 3, -1))
        q, k, v = (ops.transpose(part, (0, 2, 1, 3)) for part in parts)  # (B, H, T, D)
        if cache is not None:
            if cache:
                k, v = ops.concatenate([cache[0], k], 2), ops.concatenate([cache[1], v], 2)
            cache[:] = k, v
        past, mask = k.shape[2] - T, None
        if past and T > 1:  # is_causal counts from the first key
            xp = array_module(x.data)
            mask = xp.arange(past + T) <= past + xp.arange(T)[:, None]  # (T, past + T)
        dropout = self.dropout if self.training else 0.0
        y = ops.scaled_dot_product_attention(q, k, v, mask, past == 0, dropout, rng=self.rng)
        return ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (B, T, W))


class GPT(Module):
    """Logits (B, T, vocab) of each next token for ids (B, T), T at most context."""

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
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.token, self.position = _table(vocab, width, kind), _table(context, width, kind)
        self.drop = Dropout(dropout, rng=rng)
        # 2 * layers parts add to the residual stream: its variance shall not grow with depth
        residual_std = STD / math.sqrt(2 * layers)
        blocks = [Block(heads, width, dropout, residual_std, kind) for _ in range(layers)]
        self.blocks = ModuleList(blocks)
        self.norm = LayerNorm(width, dtype=dtype, device=device)
        self.head = None if tied else Parameter(init.normal((vocab, width), STD, **kind))

    def forward(self, ids: Tensor | Array, caches: list[Cache] | None = None) -> Tensor:
        """With caches, one a block, ids are those that follow what the caches hold."""
        ids = raw(ids)
        start = caches[0][0].shape[2] if caches and caches[0] else 0
        if ids.ndim != 2 or start + ids.shape[1] > self.context:
            raise ShapeError(
                f"GPT: ids {ids.shape} after {start} cached must be (B, T), "
                f"no longer than the context, {self.context}; cut them to the last ones"
            )
        places = array_module(ids).arange(start, start + ids.shape[1])
        x = self.drop(self.token(ids) + self.position(places))  # (B, T, W) + (T, W)
        for i, block in enumerate(self.blocks):
            x = block(x, caches[i] if caches else None)
        return ops.linear(self.norm(x), self.token.weight if self.head is None else self.head)

    def loss(self, ids: Tensor | Array, targets: Tensor | Array) -> Tensor:
        """The mean of -log p of targets (B, T), the tokens that follow ids, in nats a token."""
        logits = self(ids)
        rows = ops.reshape(logits, (-1, self.vocab))  # (B * T, vocab)
        return ops.cross_entropy(rows, raw(targets).reshape(-1))

    def generate(
        self,
        ids: Tensor | Array,
        length: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        rng: Generator | None = None,
        use_cache: bool = True,
    ) -> Array:
        """ids (B, T), with T at least 1, and `length` tokens drawn after them: (B, T + length).

        Each is drawn from softmax(logits / temperature), of the top_k largest if given; at
        temperature 0 it is the likeliest. The model sees the last `context` tokens, and is in
        evaluation mode. The cache saves work as long as all fits in the context.
        """
        ids, training = raw(ids), self.training
        if ids.ndim != 2 or ids.shape[1] < 1:
            raise ShapeError(f"GPT.generate: ids {ids.shape} must be (B, T) with T at least 1")
        if length < 0:
            raise ValueError(f"GPT.generate: length must not be negative, got {length}")
        self.eval()
        caches, xp = [[] for _ in self.blocks], array_module(ids)
        try:
            with grad_mode(False):
                for _ in range(length):
                    if use_cache and ids.shape[1] <= self.context:
                        logits = self(ids[:, -1:] if caches[0] else ids, caches)
                    else:  # positions shift as the window moves, and what was cached is void
                        logits = self(ids[:, -self.context :])
                    new = sampled(logits.data[:, -1], temperature, top_k, rng)
                    ids = xp.concatenate([ids, new[:, None].astype(ids.dtype)], axis=1)
        finally:
            self.train(training)
        return ids
