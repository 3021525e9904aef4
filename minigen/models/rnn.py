"""Long short-term memory (Hochreiter and Schmidhuber 1997, "Long Short-Term Memory").

The cell state c is updated by addition, so that information and gradients survive many steps:

    c_t = f * c_(t-1) + i * tanh(...),  h_t = o * tanh(c_t),

with gates f, i, o in (0, 1) computed from x_t and h_(t-1) (the forget gate f is by Gers et al.
2000). Both models are trained to minimize a cross-entropy: LSTMClassifier that of the class given
the whole sequence, CharLSTM that of each character given the previous ones,

    loss = -mean over t of log p(x_(t+1) | x_1 ... x_t).
"""

from typing import Any

import numpy as np

from minigen import ops
from minigen.autodiff.graph import grad_mode
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, array_module
from minigen.errors import ShapeError
from minigen.models.sampling import sampled
from minigen.nn import LSTM, Embedding, Linear, Module
from minigen.random import Generator
from minigen.tensors import Tensor


class LSTMClassifier(Module):
    """Logits (B, classes) from the last h of a sequence (B, T, input_size): an image's rows."""

    def __init__(
        self,
        input_size: int = 28,
        hidden: int = 128,
        classes: int = 10,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.lstm = LSTM(input_size, hidden, batch_first=True, **factory)
        self.head = Linear(hidden, classes, **factory)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _) = self.lstm(x)
        return self.head(h[-1])

    def loss(self, x: Tensor, label: Array) -> Tensor:
        """The mean cross-entropy of the labels (B,), in nats."""
        return ops.cross_entropy(self(x), label)


class CharLSTM(Module):
    """Predicts the next character: ids (B, T) to logits (B, T, vocabulary)."""

    def __init__(
        self,
        vocabulary: int,
        embed: int = 64,
        hidden: int = 256,
        layers: int = 1,
        *,
        dropout: float = 0.0,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.embedding = Embedding(vocabulary, embed, **factory)
        self.lstm = LSTM(embed, hidden, layers, batch_first=True, dropout=dropout, **factory)
        self.head = Linear(hidden, vocabulary, **factory)

    def forward(
        self, ids: Tensor | Array, state: Any = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits of the character after each id, and the LSTM's state (h, c) after the last."""
        y, state = self.lstm(self.embedding(ids), state)
        return self.head(y), state

    def loss(self, ids: Tensor | Array, targets: Tensor | Array) -> Tensor:
        """The mean of -log p of targets (B, T), the next ids, in nats a character."""
        logits, _ = self(ids)
        rows = ops.reshape(logits, (-1, logits.shape[-1]))  # (B * T, vocabulary)
        return ops.cross_entropy(rows, raw(targets).reshape(-1))

    def generate(
        self,
        ids: Tensor | Array,
        length: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        rng: Generator | None = None,
    ) -> Array:
        """ids (B, T), T at least 1, continued by `length` sampled characters: (B, T + length).

        Each is sampled from softmax(logits / temperature), restricted to the top_k largest logits
        if top_k is not None; temperature 0 takes the likeliest. Runs in evaluation mode. The state
        is kept between steps, so that each step reads one character.
        """
        ids, training = raw(ids), self.training
        if ids.ndim != 2 or ids.shape[1] < 1:
            raise ShapeError(f"CharLSTM.generate: ids {ids.shape} must be (B, T), T at least 1")
        if length < 0:
            raise ValueError(f"CharLSTM.generate: length must not be negative, got {length}")
        self.eval()
        parts, state = [ids], None  # (B, T), then (B, 1) each
        try:
            with grad_mode(False):
                for _ in range(length):
                    logits, state = self(parts[-1], state)
                    new = sampled(logits.data[:, -1], temperature, top_k, rng)
                    parts.append(new[:, None].astype(ids.dtype))
        finally:
            self.train(training)
        return array_module(ids).concatenate(parts, axis=1)
