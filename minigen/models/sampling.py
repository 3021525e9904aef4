"""Sampling the next token from logits; raw arrays, no gradient."""

import numpy as np

from minigen import ops
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import device_of
from minigen.random import Generator, generator_of
from minigen.variates import whole_number

LARGEST = float(np.finfo(np.float64).max)


def sampled(
    logits: Array,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    rng: Generator | None = None,
) -> Array:
    """Indices (B,), one sampled from softmax(logits / temperature) of each row of logits (B, V).

    With top_k only the top_k largest logits of a row are candidates; with top_p, of these, the
    likeliest whose probabilities add up to top_p or just more (Holtzman et al. 2020). top_k=1 or
    temperature=0 returns the index of the largest. FloatingPointError for NaN.
    """
    temperature = float(temperature)
    if not temperature >= 0:
        raise ValueError(f"sampled: temperature must not be negative, got {temperature}")
    if top_k is not None and whole_number("sampled: top_k", top_k) < 1:
        raise ValueError(f"sampled: top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"sampled: top_p must be above 0 and at most 1, got {top_p}")
    xp = array_module(logits)
    largest = logits.max(axis=-1) if logits.size else logits
    if not bool(xp.isfinite(largest).all()):  # NaN, infinity, or no candidate at all
        raise FloatingPointError(
            "sampled: there are logits of NaN or infinity: the model's weights are not finite, or "
            "overflow; minigen.detect_anomaly() names the op"
        )
    if temperature == 0 or top_k == 1:
        return logits.argmax(axis=-1)
    order = xp.argsort(-logits, axis=-1, kind="stable")[:, :top_k]  # (B, K), descending
    kept = xp.take_along_axis(logits, order, -1).astype(np.float64)
    with np.errstate(over="ignore"):
        # The largest of them is 0, so that none overflows: two infinite ones would give NaN. An
        # infinite temperature would make NaN of -inf.
        scaled = (kept - kept[:, :1]) / min(temperature, LARGEST)
    p = ops.softmax(scaled, -1)
    cumulative = xp.cumsum(p, axis=-1)
    n = xp.full((len(logits), 1), order.shape[1])  # candidates
    if top_p is not None:
        n = xp.maximum((cumulative - p < top_p).sum(axis=-1, keepdims=True), 1)
    total = xp.take_along_axis(cumulative, n - 1, -1)
    rng = generator_of(rng)
    u = rng.uniform((len(logits), 1), dtype=np.float64, device=device_of(logits))
    # Inverse of the cumulative distribution; its last value may differ from 1 by rounding.
    rank = xp.minimum((cumulative <= u * total).sum(axis=-1, keepdims=True), n - 1)
    return xp.take_along_axis(order, rank, -1)[:, 0]
