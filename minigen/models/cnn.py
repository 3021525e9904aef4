"""The convolutional network (LeCun et al. 1998, "Gradient-Based Learning Applied to Document
Recognition").

A convolution applies the same small filters at every position of the image, so that a stroke
gives the same response wherever it is. Max pooling keeps the largest response of each 2x2 square.
Training maximizes the likelihood of the labels by lowering

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
    """Twice (3x3 convolution, relu, 2x2 max pool), then two dense layers.

    x (B, channels, side, side) to logits (B, classes).
    """

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
        factory = {"rng": rng, "dtype": dtype, "device": device}
        first, second = widths
        self.body = Sequential(
            Conv2d(channels, first, 3, padding=1, **factory),
            ReLU(),
            MaxPool2d(2),
            Conv2d(first, second, 3, padding=1, **factory),
            ReLU(),
            MaxPool2d(2),
            Flatten(),
            Linear(second * (side // 4) ** 2, hidden, **factory),
            ReLU(),
        )
        self.head = Linear(hidden, classes, **factory)

    def features(self, x: Tensor) -> Tensor:
        """The activations of the last hidden layer, (B, hidden)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the classes, (B, classes)."""
        return self.head(self.features(x))

    def loss(self, x: Tensor, label: Array) -> Tensor:
        """The mean cross-entropy of the labels (B,), in nats."""
        return ops.cross_entropy(self(x), label)
