"""Scaled dot-product attention: the products by BLAS, and what lies between in few passes."""

import numpy as np

from minigen.kernels.cpu.compiling import REASSOCIATE, compiled
from minigen.kernels.cpu.products import matmul
from minigen.kernels.reference.attention import dropped, heard


@compiled(fastmath=REASSOCIATE)
def _below_the_top(scores, mask, is_causal):
    """Subtract from each row its largest score that takes part; -inf for those that do not."""
    rows, queries, keys = scores.shape
    for n in range(rows):
        for t in range(queries):
            row = scores[n, t]
            seen = min(t + 1, keys) if is_causal else keys
            if mask is not None:
                for s in range(seen):
                    if not mask[n, t, s]:
                        row[s] = -np.inf
            top, wrong = scores.dtype.type(-np.inf), 0
            for s in range(seen):
                top = row[s] if row[s] > top else top
                wrong += row[s] != row[s]
            if wrong or top == -np.inf:  # NaN, or nothing but -inf: all that takes part is NaN
                for s in range(seen):
                    if mask is None or mask[n, t, s]:
                        row[s] = np.nan
            else:
                for s in range(seen):
                    row[s] -= top
            for s in range(seen, keys):
                row[s] = -np.inf


@compiled(fastmath=REASSOCIATE)
def _normalise(p):
    """Each row to sum 1, but a row of zeros; what is 0 stays so beside NaN."""
    rows, keys = p.shape
    for i in range(rows):
        total = 0.0
        for s in range(keys):
            total += p[i, s]
        share = p.dtype.type(1 / total)
        for s in range(keys):
            p[i, s] = p[i, s] * share if p[i, s] != 0 else 0


def dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    p = matmul(q * scale, k.swapaxes(-1, -2))
    if mask is not None:
        full = np.broadcast_shapes(p.shape, mask.shape)  # may be wider than q and k, as v
        p = p if full == p.shape else np.broadcast_to(p, full).copy()
        mask = np.broadcast_to(mask, full).reshape(-1, *full[-2:]) if p.size else None
    if p.size:
        rows = p.reshape(-1, *p.shape[-2:])
        _below_the_top(rows, mask, is_causal)
        np.exp(p, out=p)
        _normalise(p.reshape(-1, p.shape[-1]))
    return matmul(p if kept is None else dropped(p, kept, dropout_p), v), p


@compiled(fastmath=REASSOCIATE)
def _scores_vjp(gp, p, scale):
    """scale * p * (gp - sum(gp * p)) for each row, written over gp; 0 where p is 0."""
    rows, keys = gp.shape
    for i in range(rows):
        level = 0.0
        for s in range(keys):
            level += gp[i, s] * p[i, s] if p[i, s] != 0 else 0.0
        level = p.dtype.type(level)
        for s in range(keys):
            gp[i, s] = scale * p[i, s] * (gp[i, s] - level) if p[i, s] != 0 else 0.0


def dot_attention_vjp(g, q, k, v, p, kept, scale, dropout_p):
    if not np.isfinite(p.sum() + q.sum() + k.sum()):
        q, k, p = heard(g, q, k, p)
    weights, gs = p, matmul(g, v.swapaxes(-1, -2))
    if kept is not None:
        weights, gs = dropped(p, kept, dropout_p), dropped(gs, kept, dropout_p)
    gs = np.ascontiguousarray(gs)
    if gs.size:
        p = np.ascontiguousarray(np.broadcast_to(p, gs.shape)).reshape(-1, gs.shape[-1])
        _scores_vjp(gs.reshape(p.shape), p, p.dtype.type(scale))
    gv = matmul(weights.swapaxes(-1, -2), g)
    return matmul(gs, k), matmul(gs.swapaxes(-1, -2), q), gv
