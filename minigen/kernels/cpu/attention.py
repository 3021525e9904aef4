"""Scaled dot-product attention, one head after the other: all that a head needs fits a cache.

Where a query sees no key of its future, the products leave out what is 0 or not wanted: half.
"""

import math

import numpy as np

from minigen.backend.arrays import broadcast_shapes
from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.gemm import ALL, OF_FUTURE, OF_PAST, PAST, place, product, space_for, whole
from minigen.kernels.cpu.packing import memory_at
from minigen.kernels.cpu.softmax import largest
from minigen.kernels.cpu.tiles import U, place_of
from minigen.kernels.reference import attention as reference
from minigen.parallel import pool
from minigen.parallel.pieces import shares

# The loops take 32 numbers at a time, four vectors, and what is left over of a row one by one, or
# nearly so: it pays to round up the part of a row that takes part.
AT_ONCE = 32
NANOSECONDS = 1.0  # for a score, about
FLOPS = 50  # a nanosecond, about
NOWHERE = (0,) * 5  # the place of a mask that is not there
BOOLEANS = np.zeros(1, bool)  # for their dtype


@inlined(fastmath=REASSOCIATE)
def _exp_below(row, top):
    """Replace row by exp(row - top); the sum. `softmax.exp_below` would not vectorize in place."""
    total = row.dtype.type(0)
    for s in range(row.size):
        e = vm.exp(row[s] - top)
        row[s] = e
        total += e
    return total


@inlined(fastmath=REASSOCIATE)
def _scaled_below(row, scale, seen, low):
    """Multiply row by scale, with low from place seen on; the largest number."""
    top = low
    for s in range(row.size):
        value = row[s] * scale
        value = value if s < seen else low
        row[s] = value
        top = vm.larger(top, value)
    return top


@compiled
def _head(x, n, heads, size):
    """The place of head n of what lies at place x."""
    address, of_batch, of_head, down, along = x
    return address + (n // heads * of_batch + n % heads * of_head) * size, down, along


@compiled
def _taking_part(row, t, is_causal):
    """What query t sees of a row of scores: so many keys, and the part of the row for a loop."""
    seen = min(t + 1, row.size) if is_causal else row.size
    return seen, row[: (seen + AT_ONCE - 1) // AT_ONCE * AT_ONCE]


@compiled(fastmath=CONTRACT)
def _softmax(scores, mask, booleans, is_causal, scale):
    """Each row, times scale, to its softmax over the places that take part; 0 elsewhere."""
    real = scores.dtype.type
    zero, one, nan, low = real(0), real(1), real(np.nan), real(-np.inf)
    (address, down, along), masked = mask, mask[0] != 0
    takes_part = memory_at(address, booleans)
    for t in range(len(scores)):
        seen, wide = _taking_part(scores[t], t, is_causal)
        top = _scaled_below(wide, scale, seen, low)
        if masked:
            for s in range(wide.size):
                wide[s] = wide[s] if takes_part[U(t * down + s * along)] else low
            top = largest(wide)
        total = _exp_below(wide, top)
        if total == total:
            share = one / total
            for s in range(wide.size):
                wide[s] *= share
        else:  # NaN, or nothing but -inf: so is all that takes part
            for s in range(wide.size):
                heard = s < seen and (not masked or takes_part[U(t * down + s * along)])
                wide[s] = nan if heard else zero
        for s in range(wide.size, scores.shape[1]):
            scores[t, s] = zero


@compiled
def _drop(p, kept, booleans, share, out):
    """out = p where kept, times share, else 0."""
    (address, down, along), zero = kept, p.dtype.type(0)
    stays = memory_at(address, booleans)
    for t in range(len(p)):
        for s in range(p.shape[1]):
            out[t, s] = p[t, s] * share if stays[U(t * down + s * along)] else zero


@compiled
def _forward(part, sides, q, k, v, p, y, mask, kept, booleans, is_causal, share, scale, space):
    # What has a place is given by it: address and distances, see `memory_at`.
    heads, queries, width, keys, values = sides
    of = heads, space.itemsize
    wanted, summed = (PAST, OF_PAST) if is_causal else (ALL, ALL)
    weights = np.empty((queries, keys), space.dtype)
    for n in range(part[0], part[1]):
        of_q, of_k, of_v = _head(q, n, *of), _head(k, n, *of), _head(v, n, *of)
        of_p, of_y = _head(p, n, *of), _head(y, n, *of)
        turned = of_k[0], of_k[2], of_k[1]
        product(of_q, turned, of_p, 0, (width, 0, queries, 0, keys), wanted, space)
        scores = memory_at(of_p[0], weights)[: queries * keys].reshape(queries, keys)
        _softmax(scores, _head(mask, n, heads, 1), booleans, is_causal, scale)
        if kept[0]:
            _drop(scores, _head(kept, n, heads, 1), booleans, share, weights)
            of_p = place_of(weights, 0), keys, 1
        product(of_p, of_v, of_y, 0, (keys, 0, queries, 0, values), summed, space)


def dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    lead = broadcast_shapes(*(x.shape[:-2] for x in (q, k, mask) if x is not None))
    if broadcast_shapes(lead, v.shape[:-2]) != lead or not q.size * k.size * v.size:
        return reference.dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p)
    scores = *lead, q.shape[-2], k.shape[-2]
    q, k, v = (_in_heads(x, (*lead, *x.shape[-2:])) for x in (q, k, v))
    masks = [_in_heads(x, scores) for x in (mask, kept)]
    p, y = np.empty(_in_two(scores), q.dtype), _like(q, v.shape[-1])
    _run(_forward, (q, k, v, p, y), masks, is_causal, scale, dropout_p)
    return y.reshape(*scores[:-1], v.shape[-1]), p.reshape(scores)


def _run(kernel, arrays, masks, is_causal, scale, dropout_p, *totals):
    """The kernel on shares of the heads; arrays begin with q, k and v."""
    q, k, v = arrays[:3]
    (batch, heads, queries, width), keys, values = q.shape, k.shape[2], v.shape[3]
    places = [place(x) if x is not None else NOWHERE for x in (*arrays, *masks)]
    share, real = 1 / (1 - dropout_p) if dropout_p < 1 else 1, q.dtype.type
    given = (heads, queries, width, keys, values), *places, BOOLEANS, is_causal, real(share)
    given = *given, real(scale), *totals
    most = max(queries, keys, width, values)
    work = batch * heads * queries * keys * (NANOSECONDS + 2 * (width + values) / FLOPS)
    cuts = shares(batch * heads, work)
    space = lambda: space_for(q.dtype, most, most)
    pool.run(kernel, [((s.start, s.stop), *given, space()) for s in cuts])


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


@inlined(fastmath=REASSOCIATE)
def _total(x, rows, down, columns):
    total = x.dtype.type(0)
    for t in range(rows):
        for s in range(columns):
            total += x[U(t * down + s)]
    return total


@compiled
def _backward(
    part, sides, q, k, v, g, p, gq, gk, gv, kept, booleans, is_causal, share, scale, totals, space
):
    heads, queries, width, keys, values = sides
    of = heads, space.itemsize
    wanted, of_past, of_future = (PAST, OF_PAST, OF_FUTURE) if is_causal else (ALL, ALL, ALL)
    # Two arrays: of one taken apart Numba would not know that its rows lie together.
    gs, weights = np.empty((queries, keys), space.dtype), np.empty((queries, keys), space.dtype)
    along, turned = (place_of(gs, 0), keys, 1), (place_of(gs, 0), 1, keys)
    for n in range(part[0], part[1]):
        of_q, of_k, of_v = _head(q, n, *of), _head(k, n, *of), _head(v, n, *of)
        of_g, of_p = _head(g, n, *of), _head(p, n, *of)
        of_gq, of_gk, of_gv = _head(gq, n, *of), _head(gk, n, *of), _head(gv, n, *of)
        turned_v = of_v[0], of_v[2], of_v[1]
        product(of_g, turned_v, along, 0, (values, 0, queries, 0, keys), wanted, space)
        scores = memory_at(of_p[0], weights)[: queries * keys].reshape(queries, keys)
        if kept[0]:
            _drop(gs, _head(kept, n, heads, 1), booleans, share, gs)
            _drop(scores, _head(kept, n, heads, 1), booleans, share, weights)
            of_p = place_of(weights, 0), keys, 1
        _scores_vjp(gs, scores, is_causal, scale)
        turned_p = of_p[0], of_p[2], of_p[1]
        of_keys = queries, 0, keys, 0
        for a, b, c, sides_of, known in (
            (along, of_k, of_gq, (keys, 0, queries, 0, width), of_past),
            (turned, of_q, of_gk, (*of_keys, width), of_future),
            (turned_p, of_g, of_gv, (*of_keys, values), of_future),
        ):  # called from one place, it is written into this loop once
            product(a, b, c, 0, sides_of, known, space)
            totals[n] += _total(memory_at(c[0], space), sides_of[2], c[1], sides_of[4])


def dot_attention_vjp(g, q, k, v, p, kept, is_causal, scale, dropout_p):
    lead, settings = g.shape[:-2], (kept, is_causal, scale, dropout_p)
    if p.shape[:-2] != lead or not q.size * k.size * v.size:
        return reference.dot_attention_vjp(g, q, k, v, p, *settings)
    *gs, total = _vjp(g, q, k, v, p, *settings)
    if not np.isfinite(total):  # what must not be heard may have been
        q, k, p = reference.heard(g, q, k, p)
        *gs, _ = _vjp(g, q, k, v, p, *settings)
    return tuple(x.reshape(*lead, *x.shape[2:]) for x in gs)


def _vjp(g, q, k, v, p, kept, is_causal, scale, dropout_p):
    """The cotangents of q, k and v, and the sum of all their values."""
    heads = [_in_heads(x, (*g.shape[:-2], *x.shape[-2:])) for x in (q, k, v, g)]
    p, kept = np.ascontiguousarray(p).reshape(_in_two(p.shape)), _in_heads(kept, p.shape)
    gs = _beside(*heads[:3])
    totals = np.zeros(g.size // (g.shape[-1] * g.shape[-2]), g.dtype)
    _run(_backward, (*heads, p, *gs), [kept], is_causal, scale, dropout_p, totals)
    return *gs, totals.sum()


def _in_two(shape):
    """A shape with the axes before the last two made two."""
    return math.prod(shape[:-3]), *(shape[-3:-2] or (1,)), *shape[-2:]


def _in_heads(x, shape):
    """x broadcast to a shape, then as (B, H, rows, columns); None for None."""
    if x is None:
        return None
    x = x if x.shape == shape else np.broadcast_to(x, shape)
    return whole(x if len(shape) == 4 else x.reshape(_in_two(shape)))


def _beside(q, k, v):
    """Arrays like q, k and v: in each row side by side, as where one product made all three."""
    batch, heads, length, width = q.shape
    if q.shape == k.shape == v.shape and q.strides[2] == 3 * heads * width * q.itemsize:
        return np.empty((batch, length, 3, heads, width), q.dtype).transpose(2, 0, 3, 1, 4)
    return [_like(x, x.shape[-1]) for x in (q, k, v)]


def _like(x, width):
    """An array (B, H, T, width) whose axes lie in memory in the order of those of x.

    Where heads were split off the last axis, they go back to it without a copy.
    """
    batch, heads, length = x.shape[:3]
    if x.strides[2] > x.strides[1]:
        return np.empty((batch, length, heads, width), x.dtype).swapaxes(1, 2)
    return np.empty((batch, heads, length, width), x.dtype)
