"""Scaled dot-product attention: the products by BLAS, and what lies between in few passes."""

import numpy as np

from minigen import threads
from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.loops import over
from minigen.kernels.cpu.products import matmul
from minigen.kernels.cpu.softmax import largest
from minigen.kernels.reference.attention import dropped, heard

# The loops take 32 numbers at a time, four vectors, and what is left over of a row one by one, or
# nearly so: it pays to round up the part of a row that takes part.
AT_ONCE = 32
NANOSECONDS = 1.0  # for a score, about


@inlined(fastmath=REASSOCIATE)
def _exp_below(row, top):
    """Replace row by exp(row - top); the sum. `softmax.exp_below` would not vectorize in place."""
    total = row.dtype.type(0)
    for s in range(row.size):
        e = vm.exp(row[s] - top)
        row[s] = e
        total += e
    return total


@compiled(fastmath=CONTRACT)
def _softmax(scores, mask, is_causal):
    """Each row to its softmax over the places that take part, in place; 0 elsewhere."""
    rows, queries, keys = scores.shape
    real = scores.dtype.type
    zero, one, nan, low = real(0), real(1), real(np.nan), real(-np.inf)
    for n in range(rows):
        for t in range(queries):
            row = scores[n, t]
            seen = min(t + 1, keys) if is_causal else keys
            wide = row[: (seen + AT_ONCE - 1) // AT_ONCE * AT_ONCE]
            wide[seen:] = low
            if mask is not None:
                for s in range(wide.size):
                    wide[s] = wide[s] if mask[n, t, s] else low
            total = _exp_below(wide, largest(wide))
            if total == total:
                share = one / total
                for s in range(wide.size):
                    wide[s] *= share
            else:  # NaN, or nothing but -inf: so is all that takes part
                for s in range(wide.size):
                    heard = s < seen and (mask is None or mask[n, t, s])
                    wide[s] = nan if heard else zero
            row[wide.size :] = zero


def dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    p = matmul(q * scale, k.swapaxes(-1, -2))
    if mask is not None:
        full = np.broadcast_shapes(p.shape, mask.shape)  # may be wider than q and k, as v
        p = p if full == p.shape else np.broadcast_to(p, full).copy()
        mask = np.broadcast_to(mask, full).reshape(-1, *full[-2:]) if p.size else None
    if p.size:
        rows = p.reshape(-1, *p.shape[-2:])
        pieces = [
            (rows[s], None if mask is None else mask[s], is_causal)
            for s in threads.spans(len(rows), rows.size * NANOSECONDS)
        ]
        threads.run(_softmax, pieces)
    return matmul(p if kept is None else dropped(p, kept, dropout_p), v), p


@inlined(fastmath=REASSOCIATE)
def _mean_under(p, gp):
    """The sum of p * gp, with 0 where p is 0."""
    zero = p.dtype.type(0)
    level = zero
    for s in range(p.size):
        level += gp[s] * p[s] if p[s] != 0 else zero
    return level


@compiled(fastmath=CONTRACT)
def _scores_vjp(gp, p, scale):
    """scale * p * (gp - sum(gp * p)) for each row, written over gp; 0 where p is 0."""
    rows, keys = gp.shape
    zero = p.dtype.type(0)
    for i in range(rows):
        level = _mean_under(p[i], gp[i])
        for s in range(keys):
            gp[i, s] = scale * p[i, s] * (gp[i, s] - level) if p[i, s] != 0 else zero


def dot_attention_vjp(g, q, k, v, p, kept, scale, dropout_p):
    if not np.isfinite(p.sum() + q.sum() + k.sum()):
        q, k, p = heard(g, q, k, p)
    weights, gs = p, matmul(g, v.swapaxes(-1, -2))
    if kept is not None:
        weights, gs = dropped(p, kept, dropout_p), dropped(gs, kept, dropout_p)
    gs = np.ascontiguousarray(gs)
    if gs.size:
        p = np.ascontiguousarray(np.broadcast_to(p, gs.shape)).reshape(-1, gs.shape[-1])
        over(_scores_vjp, [gs.reshape(p.shape), p], NANOSECONDS, p.dtype.type(scale))
    gv = matmul(weights.swapaxes(-1, -2), g)
    return matmul(gs, k), matmul(gs.swapaxes(-1, -2), q), gv
