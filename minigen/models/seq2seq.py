"""The Transformer with an encoder (Vaswani et al. 2017, "Attention Is All You Need").

An encoder reads a sequence x, every position seeing every other; a decoder writes y token by
token, looking at what the encoder left (cross-attention) and at what it has written. Training
lowers, as a mean over the tokens of y,

    -log p(y_t | x, y_<t) = -log softmax(logits(x, y_<t))[y_t].

The encoder alone, its outputs averaged over the positions, makes a classifier. Layers are
pre-norm, with a norm behind the last, which trains more steadily (Xiong et al. 2020).
"""

import math
from typing import Any

import numpy as np

from minigen import ops
from minigen.autodiff.graph import grad_mode
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, array_module
from minigen.errors import ShapeError
from minigen.nn import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    ModuleList,
    SinusoidalPositionalEncoding,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from minigen.random import Generator
from minigen.tensors import Tensor


class _Stack(Module):
    """Embedded tokens with their positions through layers of one kind, and a norm behind."""

    def __init__(self, layer, vocab, width, heads, layers, hidden, dropout, max_len, kind):
        place = {"dtype": kind["dtype"], "device": kind["device"]}
        self.token = Embedding(vocab, width, **kind)
        self.position = SinusoidalPositionalEncoding(width, max_len, **place)
        self.drop = Dropout(dropout, rng=kind["rng"])
        how = {"activation": "gelu", "batch_first": True, "norm_first": True, **kind}
        made = [layer(width, heads, hidden, dropout, **how) for _ in range(layers)]
        self.layers, self.norm = ModuleList(made), LayerNorm(width, **place)

    def forward(self, ids: Tensor | Array, *others: Any, **masks: Any) -> Tensor:
        ids = raw(ids)
        if ids.ndim != 2:
            raise ShapeError(f"Transformer: ids must be (B, T), got shape {ids.shape}")
        # The paper multiplies by sqrt(width); rows that start as N(0, 1) are of that size already.
        x = self.drop(self.position(self.token(ids)))
        for layer in self.layers:
            x = layer(x, *others, **masks)
        return self.norm(x)


class TransformerClassifier(Module):
    """Logits (B, classes) for ids (B, T); positions that hold `pad` are not read."""

    def __init__(
        self,
        vocab: int,
        classes: int,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        hidden: int = 256,
        dropout: float = 0.1,
        max_len: int = 512,
        pad: int = 0,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        kind, self.pad = {"rng": rng, "dtype": dtype, "device": device}, pad
        sizes = (vocab, width, heads, layers, hidden, dropout, max_len)
        self.encoder = _Stack(TransformerEncoderLayer, *sizes, kind)
        self.head = Linear(width, classes, **kind)

    def forward(self, ids: Tensor | Array) -> Tensor:
        padding = raw(ids) == self.pad
        h = self.encoder(ids, src_key_padding_mask=padding)
        read = (~padding).astype(h.dtype)  # (B, T)
        read = read / np.maximum(read.sum(axis=1, keepdims=True), 1)
        return self.head(ops.sum(h * read[:, :, None], 1))  # a mean over the positions read

    def loss(self, ids: Tensor | Array, labels: Tensor | Array) -> Tensor:
        """The mean of -log p of the labels (B,), in nats."""
        return ops.cross_entropy(self(ids), labels)


class Seq2SeqTransformer(Module):
    """Logits (B, T, target_vocab) of the next target token, given source (B, S), target (B, T).

    Targets start with `begin` and end with `end`; sequences are filled up with `pad`.
    """

    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 2,
        hidden: int = 512,
        dropout: float = 0.1,
        max_len: int = 512,
        pad: int = 0,
        begin: int = 1,
        end: int = 2,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.pad, self.begin, self.end = pad, begin, end
        sizes = (width, heads, layers, hidden, dropout, max_len)
        self.encoder = _Stack(TransformerEncoderLayer, source_vocab, *sizes, kind)
        self.decoder = _Stack(TransformerDecoderLayer, target_vocab, *sizes, kind)
        self.head = Linear(width, target_vocab, **kind)

    def encode(self, source: Tensor | Array) -> tuple[Tensor, Array]:
        """What the decoder looks at: the memory (B, S, width), and where it is padding (B, S)."""
        padding = raw(source) == self.pad
        return self.encoder(source, src_key_padding_mask=padding), padding

    def decode(self, target: Tensor | Array, memory: Tensor, padding: Array) -> Tensor:
        """Logits (B, T, target_vocab), each from the target up to its own position."""
        masks = {"memory_key_padding_mask": padding, "tgt_is_causal": True}
        return self.head(self.decoder(target, memory, **masks))

    def forward(self, source: Tensor | Array, target: Tensor | Array) -> Tensor:
        return self.decode(target, *self.encode(source))

    def loss(self, source: Tensor | Array, target: Tensor | Array) -> Tensor:
        """The mean of -log p of the target tokens after the first, padding left out, in nats."""
        target = raw(target)
        logits = self(source, target[:, :-1])
        rows = ops.reshape(logits, (-1, logits.shape[-1]))  # (B * T, target_vocab)
        return ops.cross_entropy(rows, target[:, 1:].reshape(-1), ignore_index=self.pad)

    def greedy(self, source: Tensor | Array, length: int) -> Array:
        """The likeliest token at each step: ids (B, T), T at most 1 + length, from `begin` on."""
        return self.beam(source, length, 1)[0]

    def beam(self, source: Tensor | Array, length: int, width: int = 4) -> tuple[Array, Array]:
        """The likeliest of the sequences found by keeping the `width` best at each step.

        Their ids (B, T), T at most 1 + length, and log-probabilities (B,), in evaluation mode.
        """
        if width < 1 or length < 1:
            raise ValueError(f"beam: width and length must be at least 1, got {width}, {length}")
        training = self.training
        self.eval()
        try:
            with grad_mode(False):
                return self._search(raw(source), length, width)
        finally:
            self.train(training)

    def _search(self, source, length, K):
        memory, padding = self.encode(source)
        xp, B = array_module(source), len(source)
        memory = ops.repeat(memory, K, axis=0)  # (B * K, S, width): K hypotheses a source
        padding = xp.repeat(padding, K, axis=0)
        ids = xp.full((B, K, 1), self.begin, np.int64)
        scores = xp.full((B, K), -math.inf)
        scores[:, 0] = 0.0  # the K are alike as yet: one of them counts
        for _ in range(length):
            logits = self.decode(ids.reshape(B * K, -1), memory, padding).data[:, -1]
            logp = ops.log_softmax(logits.astype(np.float64)).reshape(B, K, -1)
            ended = (ids[:, :, -1] == self.end) | (ids[:, :, -1] == self.pad)
            logp[ended] = -math.inf  # after the end there is padding, for sure
            logp[ended, self.pad] = 0.0
            vocab = logp.shape[-1]
            totals = (scores[:, :, None] + logp).reshape(B, K * vocab)
            best = xp.argsort(-totals, axis=-1, kind="stable")[:, :K]  # (B, K)
            scores = xp.take_along_axis(totals, best, -1)
            ids = xp.take_along_axis(ids, best[:, :, None] // vocab, 1)
            ids = xp.concatenate([ids, best[:, :, None] % vocab], axis=2)
            if ((ids[:, 0, -1] == self.end) | (ids[:, 0, -1] == self.pad)).all():
                break  # the others can only become less likely
        return ids[:, 0], scores[:, 0]  # sorted: the likeliest is the first
