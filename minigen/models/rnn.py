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
from minigen.backend.arrays import Array
from minigen.models.generation import Autoregressive
from minigen.nn import LSTM, Embedding, Linear, Module
from minigen.ops.indexing import whole_numbers
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


class CharLSTM(Autoregressive):
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
        targets = whole_numbers("CharLSTM: targets", targets, logits)
        return ops.cross_entropy(rows, targets.reshape(-1))

    def next_logits(self, ids: Array, state: Any) -> tuple[Tensor, Any]:
        """Logits (B, vocabulary) after ids (B, T); with a state it reads the last id alone."""
        logits, state = self(ids if state is None else ids[:, -1:], state)
        return logits[:, -1], state
