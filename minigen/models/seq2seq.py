"""The encoder-decoder Transformer (Vaswani et al. 2017, "Attention Is All You Need").

The encoder reads a sequence x; each position attends to all. The decoder writes y token by
token; it attends to the encoder's output (cross-attention) and to the tokens that it has written.
Training minimizes the mean over the tokens of y of

    -log p(y_t | x, y_<t) = -log softmax(logits(x, y_<t))[y_t].

TransformerClassifier is the encoder alone, with its outputs averaged over the positions. Unlike
the paper's, the layers are pre-norm with a final norm, which trains more stably (Xiong et al.
2020).
"""

import math
from typing import Any, NamedTuple

import numpy as np

from minigen import ops
from minigen.autodiff.grad_modes import grad_mode
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
    evaluation,
)
from minigen.ops.indexing import whole_numbers
from minigen.random import Generator
from minigen.tensors import Tensor


class _StackSettings(NamedTuple):
    """The settings that encoder and decoder have in common, in the order of the constructors."""

    width: int
    heads: int
    layers: int
    hidden: int  # width of the feed-forward layer
    dropout: float
    max_len: int


class _Stack(Module):
    """Token embedding plus position encoding, then layers of one class, then a norm.

    ids (B, T) to (B, T, width). `factory` is {"rng", "dtype", "device"}.
    """

    def __init__(self, layer_class, vocab: int, settings: _StackSettings, factory: dict):
        width, heads, layers, hidden, dropout, max_len = settings
        dtype_device = {"dtype": factory["dtype"], "device": factory["device"]}
        self.token = Embedding(vocab, width, **factory)
        self.position = SinusoidalPositionalEncoding(width, max_len, **dtype_device)
        self.drop = Dropout(dropout, rng=factory["rng"])
        options = {"activation": "gelu", "batch_first": True, "norm_first": True, **factory}
        stack = [layer_class(width, heads, hidden, dropout, **options) for _ in range(layers)]
        self.layers, self.norm = ModuleList(stack), LayerNorm(width, **dtype_device)

    def forward(self, ids: Tensor | Array, *memory: Any, **masks: Any) -> Tensor:
        ids = whole_numbers("Transformer: ids", ids, self.token.weight)
        if ids.ndim != 2:
            raise ShapeError(f"Transformer: ids must be (B, T), got shape {ids.shape}")
        # The paper multiplies the embedding by sqrt(width). Embedding starts as N(0, 1), whose rows
        # have a norm of about sqrt(width) without that.
        x = self.drop(self.position(self.token(ids)))
        for layer in self.layers:
            x = layer(x, *memory, **masks)
        return self.norm(x)


class TransformerClassifier(Module):
    """Logits (B, classes) for ids (B, T); positions with the id `pad` are ignored."""

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
        self.pad = pad
        factory = {"rng": rng, "dtype": dtype, "device": device}
        settings = _StackSettings(width, heads, layers, hidden, dropout, max_len)
        self.encoder = _Stack(TransformerEncoderLayer, vocab, settings, factory)
        self.head = Linear(width, classes, **factory)

    def forward(self, ids: Tensor | Array) -> Tensor:
        ids = whole_numbers("TransformerClassifier: ids", ids, self.head.weight)
        padding = ids == self.pad
        h = self.encoder(ids, src_key_padding_mask=padding)  # (B, T, width)
        weight = (~padding).astype(h.dtype)  # (B, T)
        weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1)
        mean = ops.sum(h * weight[:, :, None], 1)  # over the positions that are not padding
        return self.head(mean)

    def loss(self, ids: Tensor | Array, labels: Tensor | Array) -> Tensor:
        """The mean of -log p of the labels (B,), in nats."""
        return ops.cross_entropy(self(ids), labels)


class Seq2SeqTransformer(Module):
    """Logits (B, T, target_vocab) of the next target token, from source (B, S), target (B, T).

    Targets start with the id `begin` and end with `end`; shorter sequences are padded with `pad`.
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
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.pad, self.begin, self.end = pad, begin, end
        settings = _StackSettings(width, heads, layers, hidden, dropout, max_len)
        self.encoder = _Stack(TransformerEncoderLayer, source_vocab, settings, factory)
        self.decoder = _Stack(TransformerDecoderLayer, target_vocab, settings, factory)
        self.head = Linear(width, target_vocab, **factory)

    def encode(self, source: Tensor | Array) -> tuple[Tensor, Array]:
        """The encoder's output, memory (B, S, width), and the mask of its padding (B, S)."""
        source = whole_numbers("encode: source", source, self.head.weight)
        padding = source == self.pad
        return self.encoder(source, src_key_padding_mask=padding), padding

    def decode(self, target: Tensor | Array, memory: Tensor, padding: Array) -> Tensor:
        """Logits (B, T, target_vocab); position t attends to the targets up to t."""
        masks = {"memory_key_padding_mask": padding, "tgt_is_causal": True}
        return self.head(self.decoder(target, memory, **masks))

    def forward(self, source: Tensor | Array, target: Tensor | Array) -> Tensor:
        return self.decode(target, *self.encode(source))

    def loss(self, source: Tensor | Array, target: Tensor | Array) -> Tensor:
        """The mean of -log p of the target tokens after the first, without padding, in nats."""
        target = whole_numbers("Seq2SeqTransformer: target", target, self.head.weight)
        logits = self(source, target[:, :-1])
        rows = ops.reshape(logits, (-1, logits.shape[-1]))  # (B * (T - 1), target_vocab)
        return ops.cross_entropy(rows, target[:, 1:].reshape(-1), ignore_index=self.pad)

    def greedy(self, source: Tensor | Array, length: int) -> Array:
        """`beam` of width 1, the likeliest token at each step: ids (B, T), T at most 1 + length."""
        return self.beam(source, length, 1)[0]

    def beam(self, source: Tensor | Array, length: int, width: int = 4) -> tuple[Array, Array]:
        """Beam search: keeps the `width` likeliest prefixes and returns the likeliest at the end.

        Returns ids (B, T), T at most 1 + length, which start with `begin`, and their
        log-probabilities (B,). Runs in evaluation mode.
        """
        if width < 1 or length < 1:
            raise ValueError(f"beam: width and length must be at least 1, got {width}, {length}")
        source = whole_numbers("beam: source", source, self.head.weight)
        with evaluation(self), grad_mode(False):
            return self._search(source, length, width)

    def _search(self, source, length, K):
        """The ids (B, T) and scores (B,) of `beam`; the decoder gets a batch of B K hypotheses."""
        memory, padding = self.encode(source)
        xp, B = array_module(source), len(source)
        memory = ops.repeat(memory, K, axis=0)  # (B * K, S, width): K hypotheses per source
        padding = xp.repeat(padding, K, axis=0)
        ids = xp.full((B, K, 1), self.begin, np.int64)
        scores = xp.full((B, K), -math.inf)
        scores[:, 0] = 0.0  # the K hypotheses are still equal: only one may be continued
        for _ in range(length):
            logits = self.decode(ids.reshape(B * K, -1), memory, padding).data[:, -1]
            logp = ops.log_softmax(logits.astype(np.float64)).reshape(B, K, -1)
            ended = (ids[:, :, -1] == self.end) | (ids[:, :, -1] == self.pad)
            logp[ended] = -math.inf  # an ended sequence continues with padding, probability 1
            logp[ended, self.pad] = 0.0
            vocab = logp.shape[-1]
            totals = (scores[:, :, None] + logp).reshape(B, K * vocab)
            best = xp.argsort(-totals, axis=-1, kind="stable")[:, :K]  # (B, K)
            scores = xp.take_along_axis(totals, best, -1)
            ids = xp.take_along_axis(ids, best[:, :, None] // vocab, 1)
            ids = xp.concatenate([ids, best[:, :, None] % vocab], axis=2)
            if ((ids[:, 0, -1] == self.end) | (ids[:, 0, -1] == self.pad)).all():
                break  # scores never rise, so no other hypothesis can overtake the best
        return ids[:, 0], scores[:, 0]  # the K are sorted by score, descending
