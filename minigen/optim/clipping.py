"""Clipping of gradients (Pascanu et al. 2013)."""

import math
from collections.abc import Iterable

import numpy as np

from minigen.tensors import Tensor


def clip_grad_norm(params: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients so that their joint norm is at most max_norm; returns the norm before.

    params: tensors, or one.
    Each `.grad` that is scaled becomes a new tensor: one that is held elsewhere stays as it was.
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must not be negative, got {max_norm}")
    params = [params] if isinstance(params, Tensor) else params
    with_grad = [p for p in params if p.grad is not None]
    squares = [np.square(p.grad.data, dtype=np.float64).sum() for p in with_grad]
    norm = math.sqrt(sum(map(float, squares)))  # a GPU is waited for when all are under way
    if (scale := max_norm / (norm + 1e-6)) < 1:
        for p in with_grad:
            p.node.grad = Tensor(p.grad.data * scale)
    return norm
