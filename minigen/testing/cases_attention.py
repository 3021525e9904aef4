"""Cases of attention. The reference loops over queries and keys."""

import numpy as np

from minigen.random import Generator
from minigen.testing.case import Case
from minigen.testing.choices import Choices


def attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    *_, queries, features = q.shape
    keys, values = v.shape[-2:]
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    full = (*lead, queries, keys)
    mask = np.broadcast_to(True if mask is None else mask, full)
    kept = np.ones(full, bool) if kept is None else np.broadcast_to(kept, full)
    q = np.broadcast_to(q, (*lead, queries, features))
    k = np.broadcast_to(k, (*lead, keys, features))
    v = np.broadcast_to(v, (*lead, keys, values))
    y = np.zeros((*lead, queries, values), np.result_type(q, k, v))
    for *n, t in np.ndindex(*lead, queries):
        n = tuple(n)
        visible = [s for s in range(keys) if mask[(*n, t, s)] and (s <= t or not is_causal)]
        e = {s: np.exp(scale * sum(q[(*n, t)] * k[(*n, s)])) for s in visible}
        total = sum(e.values())
        for s in visible:
            if kept[(*n, t, s)]:
                y[(*n, t)] += e[s] / total / (1 - dropout_p if dropout_p < 1 else 1) * v[(*n, s)]
    return y


def scaled_dot_product_attention(
    q, k, v, mask=None, is_causal=False, dropout_p=0.0, scale=None, rng=None
):
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    shape, kept = (*lead, q.shape[-2], k.shape[-2]), None
    if dropout_p:
        kept = rng.bernoulli(1 - dropout_p, shape)
    scale = 1 / np.sqrt(max(q.shape[-1], 1)) if scale is None else scale
    return attention(q, k, v, mask, kept, is_causal, scale, dropout_p)


def _draw_arrays(c: Choices):
    """q, k, v with leading axes that broadcast, and the shape of the scores."""
    queries, keys, features, values = (c.integer(1, 4) for _ in range(4))
    if c.integer(0, 7) == 0:
        queries, keys, features, values = (
            c.pick((0, n)) for n in (queries, keys, features, values)
        )
    lead = c.shape(max_dims=2, max_side=2)
    shapes = (queries, features), (keys, features), (keys, values)
    q, k, v = (c.array((*c.narrowed(lead), *shape), -2.0, 2.0) for shape in shapes)
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    return (q, k, v), (*lead, queries, keys)


def _draw_mask(c, shape):
    """None, or a mask that broadcasts. Some masks hide all keys of a query."""
    mask = c.mask(c.narrowed(shape))
    return c.pick((None, mask, mask | c.mask(mask.shape)))


def _draw(c):
    arrays, shape = _draw_arrays(c)
    named = {"mask": _draw_mask(c, shape), "is_causal": c.flag()}
    if c.flag():
        named["scale"] = c.pick((0.5, 1, -0.25))
    if c.integer(0, 2) == 0:
        named |= {"dropout_p": c.pick((0.25, 0.5, 1)), "rng": Generator(c.integer(0, 99))}
    return arrays, named


def draw_core(c: Choices) -> tuple[tuple, dict]:
    """The arguments of a call of the private fused op."""
    arrays, shape = _draw_arrays(c)
    kept = c.pick((None, c.mask(shape)))
    static = {"is_causal": c.flag(), "scale": 0.7, "dropout_p": 0.0 if kept is None else 0.5}
    return (*arrays, _draw_mask(c, shape), kept), static


ATTENTION = {
    "scaled_dot_product_attention": Case(scaled_dot_product_attention, _draw),
    "_attention": Case(attention, draw_core),
}
