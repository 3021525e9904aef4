"""A convolutional network that reads log-mel spectrograms: three blocks of

    maxpool(relu(batchnorm(conv3x3(x)))),

and a linear layer. Time and frequency are the axes of an image (Abdel-Hamid et al. 2014).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn import BatchNorm2d, Conv2d, Dropout, Linear, Module, ModuleList
from minigen.random import Generator
from minigen.tensors import Tensor


class SpeechCNN(Module):
    """Spectrograms (B, frames, bands) to logits (B, classes)."""

    def __init__(
        self,
        classes: int = 10,
        frames: int = 64,
        bands: int = 40,
        widths: Sequence[int] = (16, 32, 64),
        dropout: float = 0.3,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if not widths or min(frames, bands) < 2 ** len(widths):
            raise ValueError(
                f"SpeechCNN: frames and bands must be at least 2^{len(widths)}, and widths name a "
                f"block, got {frames=} {bands=} {widths=}"
            )
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.classes, self.frames, self.bands = classes, frames, bands
        pairs = list(zip([1, *widths], widths))
        self.convs = ModuleList([Conv2d(a, b, 3, padding=1, **factory) for a, b in pairs])
        self.norms = ModuleList([BatchNorm2d(b, dtype=dtype, device=device) for b in widths])
        self.dropout = Dropout(dropout, rng=rng)
        size = widths[-1] * (frames >> len(widths)) * (bands >> len(widths))
        self.head = Linear(size, classes, **factory)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3 or x.shape[1:] != (self.frames, self.bands):
            raise ShapeError(
                f"SpeechCNN: x must be (B, {self.frames}, {self.bands}), got shape {x.shape}"
            )
        h = ops.reshape(x, (len(x), 1, self.frames, self.bands))
        for conv, norm in zip(self.convs, self.norms):
            h = ops.max_pool2d(ops.relu(norm(conv(h))), 2)
        return self.head(self.dropout(ops.reshape(h, (len(x), -1))))

    def loss(self, x: Tensor, label: Array) -> Tensor:
        """The mean cross-entropy."""
        return ops.cross_entropy(self(x), label)
