"""The embedding layer: a table of vectors that are looked up by index."""

from typing import Any

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array
from minigen.nn import init
from minigen.nn.module import Module, Parameter
from minigen.random import Generator
from minigen.tensors import Tensor


class Embedding(Module):
    """Rows of weight (num_embeddings, embedding_dim): index (...), result (..., embedding_dim).

    weight is initialised with N(0, 1). IndexError for an index out of range.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        shape = (num_embeddings, embedding_dim)
        self.weight = Parameter(init.normal(shape, 1.0, rng, dtype, device))

    def forward(self, index: Tensor | Array) -> Tensor:
        return ops.embedding(index, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
