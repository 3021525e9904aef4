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
from minigen.backend import Array, as_array, to_numpy
from minigen.errors import ShapeError
from minigen.gradients import no_grad
from minigen.nn import LSTM, Embedding, Linear, Module
from minigen.random import Generator, default_generator
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

    def forward(self, ids: Array, state: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits for what follows each id, and the state to go on from."""
        y, state = self.lstm(self.embedding(ids), state)
        return self.head(y), state

    def loss(self, ids: Array) -> Tensor:
        """The mean cross-entropy of ids (B, T)[:, 1:], each given those before it, in nats."""
        logits, _ = self(ids[:, :-1])
        return ops.cross_entropy(ops.swapaxes(logits, 1, 2), ids[:, 1:])  # classes on axis 1

    @no_grad()
    def generate(
        self,
        prompt: Array,
        length: int,
        temperature: float = 1.0,
        rng: Generator | None = None,
    ) -> np.ndarray:
        """The prompt, ids (T,), and `length` more, int64 (T + length,).

        Each is drawn from softmax(logits / temperature), or is the likeliest for temperature 0;
        the state is carried, so that each step reads one character. Call .eval() before.
        """
        prompt = np.asarray(prompt.numpy() if isinstance(prompt, Tensor) else to_numpy(prompt))
        if prompt.ndim != 1 or not len(prompt):
            raise ShapeError(f"generate: the prompt must be (T,), T at least 1, got {prompt.shape}")
        if length < 0 or not temperature >= 0:
            raise ValueError(
                f"generate: length and temperature must not be negative, got {length, temperature}"
            )
        ids, state, rng = [int(i) for i in prompt], None, rng or default_generator()
        new, device = prompt, self.head.weight.device
        for _ in range(length):
            logits, state = self(as_array(new, np.int64, device)[None], state)
            scores = logits[0, -1].numpy().astype(np.float64)  # (vocabulary,)
            if temperature == 0:
                choice = int(scores.argmax())
            else:
                choice = int(rng.choice(len(scores), p=ops.softmax(scores / temperature)))
            ids.append(choice)
            new = np.array([choice])
        return np.array(ids, np.int64)
