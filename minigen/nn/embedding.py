"""The embedding layer: a table of vectors that are looked up by index."""

from typing import Any

import numpy as np

from minigen.backend.arrays import Array
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.functional.products import padding_row
from minigen.nn.module import Module, Parameter
from minigen.nn.options import refuse
from minigen.random import Generator
from minigen.tensors import Tensor


class Embedding(Module):
    """Rows of weight (num_embeddings, embedding_dim): index (...), result (..., embedding_dim).

    weight is initialised with N(0, 1), drawn from rng. Row padding_idx is 0 at first and gets no
    gradient; a negative one counts from the end. index has any integer dtype; IndexError for one
    out of range. dtype and device are those of weight. max_norm is left out.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        refuse("Embedding", "divide the rows by their norms", max_norm=(max_norm, None))
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None
        if padding_idx is not None:
            self.padding_idx = padding_row("Embedding", padding_idx, num_embeddings)
        values = init.normal((num_embeddings, embedding_dim), 1.0, rng, dtype, device)
        if padding_idx is not None:
            values[self.padding_idx] = 0
        self.weight = Parameter(values)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor | Array, freeze: bool = True, padding_idx: int | None = None
    ) -> "Embedding":
        """A layer with a copy of embeddings (N, D) as weight, which with freeze is not trained."""
        rows, features = embeddings.shape
        layer = cls(rows, features, padding_idx, dtype=embeddings.dtype)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def forward(self, index: Tensor | Array | list) -> Tensor:
        return F.embedding(index, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
