"""Sampling the next token from logits; raw arrays, no gradient."""

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import device_of
from minigen.random import Generator, default_generator


def sampled(
    logits: Array, temperature: float = 1.0, top_k: int | None = None, rng: Generator | None = None
) -> Array:
    """Indices (B,), one sampled from softmax(logits / temperature) of each row of logits (B, V).

    With top_k only the top_k largest logits of a row are candidates. top_k=1 or temperature=0
    returns the index of the largest.
    """
    if not temperature >= 0:
        raise ValueError(f"sampled: temperature must not be negative, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"sampled: top_k must be at least 1, got {top_k}")
    xp = array_module(logits)
    if temperature == 0 or top_k == 1:
        return logits.argmax(axis=-1)
    order = xp.argsort(-logits, axis=-1, kind="stable")[:, :top_k]  # (B, K), descending
    kept = xp.take_along_axis(logits, order, -1).astype(np.float64) / temperature
    cumulative = xp.cumsum(ops.softmax(kept, -1), axis=-1)
    rng = rng or default_generator()
    u = rng.uniform((len(logits), 1), dtype=np.float64, device=device_of(logits))
    # Inverse of the cumulative distribution; its last value may differ from 1 by rounding.
    rank = xp.minimum((cumulative <= u * cumulative[:, -1:]).sum(axis=-1), order.shape[1] - 1)
    return xp.take_along_axis(order, rank[:, None], -1)[:, 0]
