"""Scaled dot-product attention (Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1).

Shapes: queries q (..., T, D), keys k (..., S, D), values v (..., S, E), where the leading axes
broadcast; scores and probabilities (..., T, S), the result y (..., T, E).
"""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.reference.rows import softmax
from minigen.kernels.reference.sums import sum_over


def dot_attention(q, k, v, mask, keep_mask, is_causal, scale, dropout_p):
    """y = dropout(P) V with P = softmax(scale Q K^T) over the keys that take part; returns y and P.

    mask: True where a key takes part; keep_mask: True where dropout keeps a probability; both are
    boolean and broadcast to (..., T, S), or None. is_causal: query t takes keys 0..t only. P is
    (..., T, S), without dropout; it is exactly 0 for keys that take no part.
    """
    xp = array_module(q)
    scores = xp.matmul(q * scale, k.swapaxes(-1, -2))  # (..., T, D) @ (..., D, S)
    if is_causal:
        causal_mask = xp.tri(*scores.shape[-2:], dtype=bool)
        mask = causal_mask if mask is None else mask & causal_mask
    if mask is None:
        p = softmax(scores, -1)
    else:
        # Adding -inf to masked scores would leave a NaN among them, so they are replaced. The
        # softmax of a row that is masked throughout is NaN, so its result is replaced by 0 too.
        p = xp.where(mask, softmax(xp.where(mask, scores, -np.inf), -1), 0)
    weights = p if keep_mask is None else apply_dropout(p, keep_mask, dropout_p)
    return xp.matmul(weights, v), p  # (..., T, S) @ (..., S, E)


def dot_attention_vjp(g, q, k, v, p, keep_mask, is_causal, scale, dropout_p):
    """Cotangents of q, k and v, for the cotangent g (..., T, E) of y.

    With D the factors of dropout (..., T, S), the product x * y elementwise and P = p:

        gV = (D * P)^T g                            (..., S, E)
        gP = D * (g V^T)                            (..., T, S)
        gS = scale P * (gP - rowsum(gP * P))        (..., T, S), the VJP of the softmax
        gQ = gS K                                   (..., T, D)
        gK = gS^T Q                                 (..., S, D)

    (Dao et al. 2022, "FlashAttention", appendix B.2.) Each has all leading axes of g, also those
    over which q, k or v was broadcast. is_causal tells faster twins that p is 0 above the diagonal.

    Where p is 0, or a row of g is 0, a NaN in q, k, v or p does not reach the cotangents: a NaN in
    a future key leaves the gradients of the past as they were.
    """
    xp = array_module(g)
    q, k, p = zero_masked_nans(g, q, k, p)
    weights, gp = p, xp.matmul(g, v.swapaxes(-1, -2))
    if keep_mask is not None:
        weights, gp = (apply_dropout(x, keep_mask, dropout_p) for x in (p, gp))
    gp = xp.where(p == 0, 0, gp)
    gs = xp.where(p == 0, 0, scale * p * (gp - sum_over(gp * p, -1, keepdims=True)))
    gv = xp.matmul(weights.swapaxes(-1, -2), g)
    return xp.matmul(gs, k), xp.matmul(gs.swapaxes(-1, -2), q), gv


def zero_masked_nans(g, q, k, p):
    """q, k and p, with zeros where a NaN would reach cotangents that it must not change.

    In q (..., T, D) and k (..., S, D) every value that is not finite is replaced: if its score
    takes part, p (..., T, S) is NaN anyway, and otherwise 0 * NaN would be NaN. In p the rows are
    replaced for which the cotangent g (..., T, E) is 0.
    """
    xp = array_module(g)
    q, k = (xp.where(xp.isfinite(x), x, 0) for x in (q, k))
    return q, k, xp.where((g == 0).all(axis=-1, keepdims=True), 0, p)


def apply_dropout(x, keep_mask, p):
    """x / (1 - p) where keep_mask is True, else 0; x (..., T, S), 0 <= p <= 1."""
    return x * keep_mask * (1 / (1 - p) if p < 1 else 1.0)
