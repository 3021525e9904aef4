"""Dropout as a module (Srivastava et al. 2014)."""

from minigen import ops
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import array_module
from minigen.errors import ShapeError
from minigen.nn.module import Module
from minigen.random import Generator
from minigen.tensors import Tensor


class Dropout(Module):
    """In training each value becomes 0 with probability p, else x / (1 - p); otherwise returns x.

    inplace is ignored: tensors are not written to. rng: the generator of the mask, by default the
    default one. batch_axis: that of the rows of x, where several processes share a batch, None if x
    has no rows of it (see `ops.dropout`). ValueError unless 0 <= p <= 1.
    """

    def __init__(
        self,
        p: float = 0.5,
        inplace: bool = False,
        *,
        rng: Generator | None = None,
        batch_axis: int | None = 0,
    ):
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must be in [0, 1], got {p}")
        self.p, self.rng, self.batch_axis = p, rng, batch_axis

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, self.training, self.rng, self.batch_axis)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class _ChannelDropout(Dropout):
    """Base of dropout of whole channels: a subclass sets ndim, the number of axes of x."""

    ndim = 0

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.ndim:
            name, shape = type(self).__name__, x.shape
            raise ShapeError(f"{name}: x must have {self.ndim} dims (B, C, ...), got {shape}")
        if not self.training or self.p == 0:
            return x
        ones = array_module(raw(x)).ones((*x.shape[:2], *(1 for _ in x.shape[2:])), x.dtype)
        return ops.multiply(x, ops.dropout(ones, self.p, True, self.rng, self.batch_axis))


class Dropout1d(_ChannelDropout):
    """Dropout of whole channels of x (B, C, L), each with probability p (Tompson et al. 2015)."""

    ndim = 3


class Dropout2d(_ChannelDropout):
    """Dropout of whole channels of images x (B, C, H, W), each with probability p."""

    ndim = 4
