"""A convolutional network that reads log-mel spectrograms of any lengths: three blocks of

    maxpool(relu(batchnorm(conv3x3(x)))),

means of each quarter of the sound, and a linear layer. Time and frequency are the axes of an image
(Abdel-Hamid et al. 2014).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import to_device
from minigen.errors import ShapeError
from minigen.nn import BatchNorm2d, Conv2d, Dropout, Linear, Module, ModuleList
from minigen.ops.sequences import checked_lengths
from minigen.random import Generator
from minigen.tensors import Tensor

QUARTERS = 4  # one mean of the whole sound would lose the order of what is said


class SpeechCNN(Module):
    """Spectrograms (B, frames, bands) to logits (B, classes).

    lengths (B,): the frames of each sound; what follows is padding. In evaluation mode it does not
    change the logits; in training the statistics of batch norm include it.
    """

    def __init__(
        self,
        classes: int = 10,
        bands: int = 40,
        widths: Sequence[int] = (16, 32, 64),
        dropout: float = 0.3,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if not widths or bands < 1 or bands % 2 ** len(widths):
            raise ValueError(
                f"SpeechCNN: bands must be a multiple of 2^{len(widths)}, as each block halves "
                f"them, and widths name a block, got {bands=} {widths=}"
            )
        factory = {"rng": rng, "dtype": dtype, "device": device}
        self.classes, self.bands = classes, bands
        pairs = list(zip([1, *widths], widths))
        self.convs = ModuleList([Conv2d(a, b, 3, padding=1, **factory) for a, b in pairs])
        self.norms = ModuleList([BatchNorm2d(b, dtype=dtype, device=device) for b in widths])
        self.dropout = Dropout(dropout, rng=rng)
        size = QUARTERS * widths[-1] * (bands >> len(widths))
        self.head = Linear(size, classes, **factory)

    def forward(self, x: Tensor, lengths: Array | None = None) -> Tensor:
        if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != self.bands:
            raise ShapeError(f"SpeechCNN: x must be (B, frames, {self.bands}), got shape {x.shape}")
        batch, frames, _ = x.shape
        if lengths is None:
            lengths = array_module(x.data).full(batch, frames)
        else:
            lengths = to_device(checked_lengths("SpeechCNN", lengths, frames, batch), x.device)
        factor = 2 ** len(self.convs)  # a last frame is never pooled alone, with or without padding
        x = ops.pad(x, ((0, 0), (0, -frames % factor), (0, 0)))
        h = ops.reshape(x, (batch, 1, *x.shape[1:]))
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            h = h * as_mask(-(-lengths // 2**i), h)
            h = ops.max_pool2d(ops.relu(norm(conv(h))), 2)
        rows = ops.reshape(ops.transpose(h, (0, 2, 1, 3)), (batch, h.shape[2], -1))
        means = ops.matmul(quarters(lengths / factor, rows), rows)
        return self.head(self.dropout(ops.reshape(means, (batch, -1))))

    def loss(self, x: Tensor, lengths: Array, label: Array) -> Tensor:
        """The mean cross-entropy."""
        return ops.cross_entropy(self(x, lengths), label)


def as_mask(lengths: Array, h: Tensor) -> Array:
    """1 for the first lengths[b] frames of h (B, channels, frames, bands), else 0; broadcasts."""
    mask = array_module(lengths).arange(h.shape[2]) < lengths[:, None]
    return mask[:, None, :, None].astype(h.dtype)


def quarters(lengths: Array, rows: Tensor) -> Array:
    """(B, QUARTERS, frames): the weights of rows (B, frames, ...) in the means of the quarters.

    lengths (B,) are fractions of frames; the weight of a frame is how much of it is in a quarter.
    """
    xp = array_module(lengths)
    ends = xp.arange(QUARTERS + 1) / QUARTERS * lengths[:, None]  # (B, QUARTERS + 1)
    begin, end = ends[:, :-1, None], ends[:, 1:, None]
    frame = xp.arange(rows.shape[1])
    inside = xp.minimum(frame + 1, end) - xp.maximum(frame, begin)
    weights = xp.maximum(inside, 0) / (end - begin)
    return weights.astype(rows.dtype)
