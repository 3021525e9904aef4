"""Scaled dot-product attention, one head after the other: all that a head needs fits a cache.

Where a query sees no key of its future, the products leave out what is 0 or not wanted: half.
"""

import numpy as np

from minigen import threads
from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.gemm import ALL, OF_FUTURE, OF_PAST, PAST, product, space_for
from minigen.kernels.cpu.packing import memory_of
from minigen.kernels.cpu.softmax import largest
from minigen.kernels.cpu.tiles import VECTOR
from minigen.kernels.reference import attention as reference

# The loops take 32 numbers at a time, four vectors, and what is left over of a row one by one, or
# nearly so: it pays to round up the part of a row that takes part.
AT_ONCE = 32
NANOSECONDS = 1.0  # for a score, about
FLOPS = 50  # a nanosecond, about


@inlined(fastmath=REASSOCIATE)
def _exp_below(row, top):
    """Replace row by exp(row - top); the sum. `softmax.exp_below` would not vectorize in place."""
    total = row.dtype.type(0)
    for s in range(row.size):
        e = vm.exp(row[s] - top)
        row[s] = e
        total += e
    return total


@compiled
def _taking_part(row, t, is_causal):
    """What query t sees of a row of scores: so many keys, and the part of the row for a loop."""
    seen = min(t + 1, row.size) if is_causal else row.size
    return seen, row[: (seen + AT_ONCE - 1) // AT_ONCE * AT_ONCE]


@compiled(fastmath=CONTRACT)
def _softmax(scores, mask, is_causal, scale):
    """Each row, times scale, to its softmax over the places that take part; 0 elsewhere."""
    real = scores.dtype.type
    zero, one, nan, low = real(0), real(1), real(np.nan), real(-np.inf)
    for t in range(len(scores)):
        seen, wide = _taking_part(scores[t], t, is_causal)
        for s in range(wide.size):
            wide[s] *= scale
        wide[seen:] = low
        if mask is not None:
            for s in range(wide.size):
                wide[s] = wide[s] if mask[t, s] else low
        total = _exp_below(wide, largest(wide))
        if total == total:
            share = one / total
            for s in range(wide.size):
                wide[s] *= share
        else:  # NaN, or nothing but -inf: so is all that takes part
            for s in range(wide.size):
                wide[s] = nan if s < seen and (mask is None or mask[t, s]) else zero
        scores[t, wide.size :] = zero


@compiled
def _drop(p, kept, share, out):
    """out = p where kept, times share, else 0."""
    zero = p.dtype.type(0)
    for t in range(len(p)):
        for s in range(p.shape[1]):
            out[t, s] = p[t, s] * share if kept[t, s] else zero


@compiled
def _row(x):
    """How many values lie between the rows of the last two axes."""
    return x.strides[2] // x.itemsize


@compiled
def _level(like, columns):
    """What a product begins with: zeros, as long as whole vectors need."""
    return np.zeros(columns + VECTOR // like.itemsize, like.dtype)


@compiled
def _forward(first, last, q, k, v, mask, kept, share, is_causal, scale, p, y):
    heads, queries, width = q.shape[1:]
    keys, values = v.shape[2:]
    wanted, summed = (PAST, OF_PAST) if is_causal else (ALL, ALL)
    space, level = space_for(p, max(width, keys), max(keys, values)), _level(p, max(keys, values))
    weights = np.empty((queries, keys), p.dtype)
    for n in range(first, last):
        b, h = n // heads, n % heads
        scores, sides = p[b, h].reshape(-1), (width, 0, queries, 0, keys)
        of_q, of_k = memory_of(q[b, h]), memory_of(k[b, h])
        of_v, of_y = memory_of(v[b, h]), memory_of(y[b, h])
        product(of_q, _row(q), 1, of_k, 1, _row(k), sides, level, scores, keys, wanted, space)
        _softmax(p[b, h], None if mask is None else mask[b, h], is_causal, scale)
        if kept is not None:
            _drop(p[b, h], kept[b, h], share, weights)
            scores = weights.reshape(-1)
        sides = keys, 0, queries, 0, values
        product(scores, keys, 1, of_v, _row(v), 1, sides, level, of_y, _row(y), summed, space)


def dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in (q, k, mask) if x is not None))
    (queries, keys), values = (q.shape[-2], k.shape[-2]), v.shape[-1]
    full = np.broadcast_shapes(lead, v.shape[:-2])
    if full != lead or not q.size * k.size * v.size:
        return reference.dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p)
    q, k, v = (_in_heads(x, lead) for x in (q, k, v))
    mask, kept = (_in_heads(x, lead, (queries, keys)) for x in (mask, kept))
    p = np.empty((*q.shape[:2], queries, keys), q.dtype)
    y = _like(q, values)
    constants = _share(dropout_p, p), is_causal, p.dtype.type(scale)
    work = p.size * (NANOSECONDS + 2 * (q.shape[-1] + values) / FLOPS)
    cuts = threads.spans(q.shape[0] * q.shape[1], work)
    threads.run(_forward, [(s.start, s.stop, q, k, v, mask, kept, *constants, p, y) for s in cuts])
    return y.reshape(*lead, queries, values), p.reshape(*lead, queries, keys)


@inlined(fastmath=REASSOCIATE)
def _mean_under(p, gp):
    """The sum of p * gp, with 0 where p is 0."""
    zero = p.dtype.type(0)
    level = zero
    for s in range(p.size):
        level += gp[s] * p[s] if p[s] != 0 else zero
    return level


@compiled(fastmath=CONTRACT)
def _scores_vjp(gp, p, is_causal, scale):
    """scale * p * (gp - sum(gp * p)) for each row, written over gp; 0 where p is 0."""
    zero = p.dtype.type(0)
    for t in range(len(p)):
        _, wide = _taking_part(gp[t], t, is_causal)
        row = p[t, : wide.size]
        level = _mean_under(row, wide)
        for s in range(wide.size):
            wide[s] = scale * row[s] * (wide[s] - level) if row[s] != 0 else zero
        gp[t, wide.size :] = zero


@compiled
def _backward(first, last, g, q, k, v, p, kept, share, is_causal, scale, gq, gk, gv):
    heads, queries, width = q.shape[1:]
    keys, values = v.shape[2:]
    wanted, of_past, of_future = (PAST, OF_PAST, OF_FUTURE) if is_causal else (ALL, ALL, ALL)
    most = max(keys, width, values)
    space, level = space_for(p, max(queries, keys, values), most), _level(p, most)
    gs, weights = np.empty((queries, keys), p.dtype), np.empty((queries, keys), p.dtype)
    for n in range(first, last):
        b, h = n // heads, n % heads
        of_g, of_q = memory_of(g[b, h]), memory_of(q[b, h])
        of_k, of_v = memory_of(k[b, h]), memory_of(v[b, h])
        of_gq, of_gk, of_gv = memory_of(gq[b, h]), memory_of(gk[b, h]), memory_of(gv[b, h])
        flat, of_p, sides = gs.reshape(-1), p[b, h].reshape(-1), (values, 0, queries, 0, keys)
        product(of_g, _row(g), 1, of_v, 1, _row(v), sides, level, flat, keys, wanted, space)
        if kept is not None:
            _drop(gs, kept[b, h], share, gs)
            _drop(p[b, h], kept[b, h], share, weights)
            of_p = weights.reshape(-1)
        _scores_vjp(gs, p[b, h], is_causal, scale)
        sides = keys, 0, queries, 0, width
        product(flat, keys, 1, of_k, _row(k), 1, sides, level, of_gq, _row(gq), of_past, space)
        sides = queries, 0, keys, 0, width
        product(flat, 1, keys, of_q, _row(q), 1, sides, level, of_gk, _row(gk), of_future, space)
        sides = queries, 0, keys, 0, values
        product(of_p, 1, keys, of_g, _row(g), 1, sides, level, of_gv, _row(gv), of_future, space)


def dot_attention_vjp(g, q, k, v, p, kept, is_causal, scale, dropout_p):
    lead, given = g.shape[:-2], (g, q, k, v, p, kept, is_causal, scale, dropout_p)
    if p.shape[:-2] != lead or not q.size * k.size * v.size:
        return reference.dot_attention_vjp(*given)
    heads = [_in_heads(x, lead) for x in (g, q, k, v)]
    p, kept = (_in_heads(x, lead, p.shape[-2:]) for x in (np.ascontiguousarray(p), kept))
    gs = [_like(x, x.shape[-1]) for x in heads[1:]]
    constants = _share(dropout_p, p), is_causal, p.dtype.type(scale)
    work = 2 * p.size * (NANOSECONDS + 2 * (q.shape[-1] + v.shape[-1]) / FLOPS)
    cuts = threads.spans(p.shape[0] * p.shape[1], work)
    threads.run(_backward, [(s.start, s.stop, *heads, p, kept, *constants, *gs) for s in cuts])
    if not np.isfinite(sum(x.sum() for x in gs)):  # what must not be heard may have been
        return reference.dot_attention_vjp(*given)
    return tuple(x.reshape(*lead, *x.shape[2:]) for x in gs)


def _share(dropout_p, like):
    return like.dtype.type(1 / (1 - dropout_p) if dropout_p < 1 else 1)


def _in_heads(x, lead, sides=None):
    """x with those axes in front made two, and its last axis in one piece; None for None."""
    if x is None:
        return None
    full = *lead, *(sides or x.shape[-2:])
    x = x if x.shape == full else np.broadcast_to(x, full)
    x = x.reshape(-1, *lead[-1:] or (1,), *x.shape[-2:])
    return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)


def _like(x, width):
    """An array (B, H, T, width) whose axes lie in memory in the order of those of x.

    Where heads were split off the last axis, they go back to it without a copy.
    """
    batch, heads, length = x.shape[:3]
    if x.strides[2] > x.strides[1]:
        return np.empty((batch, length, heads, width), x.dtype).swapaxes(1, 2)
    return np.empty((batch, heads, length, width), x.dtype)
