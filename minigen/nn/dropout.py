"""Dropout as a module (Srivastava et al. 2014)."""

from minigen import ops
from minigen.nn.module import Module
from minigen.random import Generator
from minigen.tensors import Tensor


class Dropout(Module):
    """In training each value becomes 0 with probability p, else x / (1 - p); otherwise returns x.

    rng: the generator of the mask, by default the default one. ValueError unless 0 <= p <= 1.
    """

    def __init__(self, p: float = 0.5, *, rng: Generator | None = None):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be in [0, 1], got {p}")
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        return f"p={self.p}"
