"""Long short-term memory (Hochreiter and Schmidhuber 1997, "Long Short-Term Memory").

A cell c that is added to, rather than rewritten, carries what was seen over many steps:

    c_t = f * c_(t-1) + i * tanh(...),  h_t = o * tanh(c_t),

with gates f, i, o in (0, 1) that read x_t and h_(t-1) (the gate f is of Gers et al. 2000). Both
models here are trained to lower a cross-entropy: of the class given the whole sequence, and of
each character given those before it,

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
    """Reads an image (B, T, input_size) row by row; logits (B, classes) from the last h."""

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
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.lstm = LSTM(input_size, hidden, batch_first=True, **kind)
        self.head = Linear(hidden, classes, **kind)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _) = self.lstm(x)
        return self.head(h[-1])

    def loss(self, x: Tensor, label: Array) -> Tensor:
        """The mean cross-entropy of the labels (B,), in nats."""
        return ops.cross_entropy(self(x), label)


class CharLSTM(Module):
    """The next character given those before: ids (B, T) to logits (B, T, vocabulary)."""

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
        kind = {"rng": rng, "dtype": dtype, "device": device}
        self.embedding = Embedding(vocabulary, embed, **kind)
        self.lstm = LSTM(embed, hidden, layers, batch_first=True, dropout=dropout, **kind)
        self.head = Linear(hidden, vocabulary, **kind)

    def forward(
        self, ids: Tensor | Array, state: Any = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits for what follows each id, and the state to go on from."""
        y, state = self.lstm(self.embedding(ids), state)
        return self.head(y), state

    def loss(self, ids: Tensor | Array, targets: Tensor | Array) -> Tensor:
        """The mean of -log p of targets (B, T), the ids that follow ids, in nats each."""
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
        """ids (B, T), with T at least 1, and `length` more drawn after them: (B, T + length).

        Each is drawn from softmax(logits / temperature), of the top_k largest if given; at
        temperature 0 it is the likeliest. The model is in evaluation mode; its state is carried,
        so that each step reads one character.
        """
        ids, training = raw(ids), self.training
        if ids.ndim != 2 or ids.shape[1] < 1:
            raise ShapeError(f"CharLSTM.generate: ids {ids.shape} must be (B, T), T at least 1")
        if length < 0:
            raise ValueError(f"CharLSTM.generate: length must not be negative, got {length}")
        self.eval()
        parts, state = [ids], None
        try:
            with grad_mode(False):
                for _ in range(length):
                    logits, state = self(parts[-1], state)
                    new = sampled(logits.data[:, -1], temperature, top_k, rng)
                    parts.append(new[:, None].astype(ids.dtype))
        finally:
            self.train(training)
        return array_module(ids).concatenate(parts, axis=1)
