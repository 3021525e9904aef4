"""Dropout as a module."""

from minigen import ops
from minigen.nn.module import Module
from minigen.random import Generator
from minigen.tensors import Tensor


class Dropout(Module):
    """In training, zeros with probability p and the rest times 1 / (1 - p); else the identity."""

    def __init__(self, p: float = 0.5, *, rng: Generator | None = None):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be in [0, 1], got {p}")
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        return f"p={self.p}"
