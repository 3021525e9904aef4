"""Scaled dot-product attention."""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.reference.rows import softmax


def dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    """softmax(scale * q @ k^T) @ v over the places where mask is True.

    q (..., T, D), k (..., S, D), v (..., S, E); mask and kept, either None, boolean and broadcast
    to (..., T, S); kept are the places that dropout leaves. Returns y (..., T, E) and the
    probabilities before dropout (..., T, S), which are exactly 0 where masked.
    """
    xp = array_module(q)
    scores = xp.matmul(q * scale, k.swapaxes(-1, -2))
    if is_causal:
        past = xp.tri(*scores.shape[-2:], dtype=bool)
        mask = past if mask is None else mask & past
    if mask is None:
        p = softmax(scores, -1)
    else:
        # Replaced, not added to, and once more behind: so what is masked may be NaN, and so may
        # the softmax of a row of nothing but -inf.
        p = xp.where(mask, softmax(xp.where(mask, scores, -np.inf), -1), 0)
    return xp.matmul(p if kept is None else dropped(p, kept, dropout_p), v), p


def dot_attention_vjp(g, q, k, v, p, kept, is_causal, scale, dropout_p):
    """Cotangents of q, k and v, each with all the batch axes, for a cotangent g (..., T, E) of y.

    is_causal: p is 0 above its diagonal.

    A place of probability 0 has no say, nor has a row of g that is 0, whatever stands there: a
    NaN in the future leaves the gradients of the past as they were.
    """
    xp = array_module(g)
    q, k, p = heard(g, q, k, p)
    weights, gp = p, xp.matmul(g, v.swapaxes(-1, -2))
    if kept is not None:
        weights, gp = dropped(p, kept, dropout_p), dropped(gp, kept, dropout_p)
    gp = xp.where(p == 0, 0, gp)
    gs = xp.where(p == 0, 0, scale * p * (gp - (gp * p).sum(axis=-1, keepdims=True)))
    gv = xp.matmul(weights.swapaxes(-1, -2), g)
    return xp.matmul(gs, k), xp.matmul(gs.swapaxes(-1, -2), q), gv


def heard(g, q, k, p):
    """q, k and p without what must not be heard in the gradients.

    NaN in q or k at a place that takes part is in p, too; left out in q and k, it touches no other
    place. Rows of p whose output has the cotangent 0 may be NaN.
    """
    xp = array_module(g)
    q, k = (xp.where(xp.isfinite(x), x, 0) for x in (q, k))
    return q, k, xp.where((g == 0).all(axis=-1, keepdims=True), 0, p)


def dropped(x, kept, p):
    """x where kept, times 1 / (1 - p), else 0."""
    return x * kept * (1 / (1 - p) if p < 1 else 1.0)
