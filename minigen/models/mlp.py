"""The multilayer perceptron (Rumelhart, Hinton and Williams 1986): dense layers in sequence.

    x -> W_n a(... a(W_2 a(W_1 x + b_1) + b_2) ...) + b_n

With one hidden layer of enough units it approximates any continuous function on a bounded set
(Cybenko 1989). Which loss it minimizes is up to its user.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minigen.nn import Linear, Module, ReLU, Sequential
from minigen.random import Generator


class MLP(Sequential):
    """Linear layers, an activation between each two: (B, sizes[0]) to (B, sizes[-1])."""

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], Module] = ReLU,
        *,
        rng: Generator | None = None,
        dtype: Any = np.float32,
        device: str | None = None,
    ):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"MLP: sizes must be two or more numbers of at least 1, got {sizes}")
        layers: list[Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [Linear(fan_in, fan_out, rng=rng, dtype=dtype, device=device), activation()]
        super().__init__(*layers[:-1])
