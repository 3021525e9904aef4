"""The convolutional network (LeCun et al. 1998, "Gradient-Based Learning Applied to Document
Recognition").

Small filters slide over the image, the same weights everywhere, so that a stroke is known
wherever it lies; pooling then keeps the strongest answer of each 2x2 square. Trained to raise the
likelihood of the labels,

    loss = -mean over (x, y) of log p(y | x),  p(. | x) = softmax(head(features(x))).
"""

from typing import Any

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array
from minigen.nn import Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from minigen.random import Generator
from minigen.tensors import Tensor


class CNN(Module):
    """Two of (3x3 convolution, relu, 2x2 max pool), then dense: x (B, channels, side, side)."""

    def __init__(
        self,
        classes: int = 10,
        *,
        channels: int = 1,
        side: int = 28,
        widths: tuple[int, int] = (32, 64),
        hidden: int = 128,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if side < 4 or min(classes, channels, hidden, *widths) < 1:
            raise ValueError(
                "CNN: side must be at least 4 and all other sizes at least 1, got "
                f"{classes=} {channels=} {side=} {widths=} {hidden=}"
            )
        kind = {"rng": rng, "dtype": dtype, "device": device}
        first, second = widths
        self.body = Sequential(
            Conv2d(channels, first, 3, padding=1, **kind),
            ReLU(),
            MaxPool2d(2),
            Conv2d(first, second, 3, padding=1, **kind),
            ReLU(),
            MaxPool2d(2),
            Flatten(),
            Linear(second * (side // 4) ** 2, hidden, **kind),
            ReLU(),
        )
        self.head = Linear(hidden, classes, **kind)

    def features(self, x: Tensor) -> Tensor:
        """What the last hidden layer makes of the images, (B, hidden)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the classes, (B, classes)."""
        return self.head(self.features(x))

    def loss(self, x: Tensor, label: Array) -> Tensor:
        """The mean cross-entropy of the labels (B,), in nats."""
        return ops.cross_entropy(self(x), label)
