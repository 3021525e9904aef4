"""Drawing the next token from logits; raw arrays, no gradient."""

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import device_of
from minigen.random import Generator, default_generator


def sampled(
    logits: Array, temperature: float = 1.0, top_k: int | None = None, rng: Generator | None = None
) -> Array:
    """An index (B,) for each row of logits (B, V), drawn from softmax(logits / temperature).

    With top_k only the largest so many take part; one, or temperature 0, is the likeliest index.
    """
    if not temperature >= 0:
        raise ValueError(f"sampled: temperature must not be negative, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"sampled: top_k must be at least 1, got {top_k}")
    xp = array_module(logits)
    if temperature == 0 or top_k == 1:
        return logits.argmax(axis=-1)
    order = xp.argsort(-logits, axis=-1, kind="stable")[:, :top_k]  # (B, K), the largest first
    kept = xp.take_along_axis(logits, order, -1).astype(np.float64) / temperature
    edges = xp.cumsum(ops.softmax(kept, -1), axis=-1)
    rng = rng or default_generator()
    u = rng.uniform((len(logits), 1), dtype=np.float64, device=device_of(logits))
    place = xp.minimum((edges <= u * edges[:, -1:]).sum(axis=-1), order.shape[1] - 1)
    return xp.take_along_axis(order, place[:, None], -1)[:, 0]
