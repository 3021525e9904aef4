"""Clipping of gradients by their norm (Pascanu, Mikolov and Bengio 2013)."""

import math
from collections.abc import Iterable

import numpy as np

from minigen.tensors import Tensor


def clip_grad_norm(params: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale the gradients of params so that their joint 2-norm is at most max_norm.

    Returns the norm before scaling. Each scaled `.grad` is a new tensor; the old one is not written
    to. ValueError for a negative max_norm.
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must not be negative, got {max_norm}")
    params = [params] if isinstance(params, Tensor) else params
    with_grad = [p for p in params if p.grad is not None]
    squares = [np.square(p.grad.data, dtype=np.float64).sum() for p in with_grad]
    # float() waits for the GPU, so it is called after all sums of squares were started.
    norm = math.sqrt(sum(map(float, squares)))
    if (scale := max_norm / (norm + 1e-6)) < 1:
        for p in with_grad:
            p.node.grad = Tensor(p.grad.data * scale)
    return norm
