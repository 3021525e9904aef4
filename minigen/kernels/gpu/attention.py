"""Scaled dot-product attention: one kernel forward and two backward, wherever the heads lie."""

import math

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense, launch
from minigen.kernels.gpu.products import matmul
from minigen.kernels.reference.attention import dropped

SIDE = 64  # queries or keys of a block


def dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    settings = is_causal, scale, dropout_p
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in (q, k, mask) if x is not None))
    if np.broadcast_shapes(lead, v.shape[:-2]) != lead:  # one p for many values
        _, p = dot_attention(q, k, k[..., :0], mask, None, *settings)
        return matmul(p if kept is None else dropped(p, kept, dropout_p), v), p
    xp, (T, D), (S, E) = array_module(q), q.shape[-2:], v.shape[-2:]
    masks = *_mask(mask, (*lead, T, S)), *_mask(kept, (*lead, T, S))
    q, k, v = (_in_heads(x, lead) for x in (q, k, v))
    (B, H), y = q.shape[:2], _like(q, E)
    p = xp.empty((B, H, T, S), q.dtype)
    weights = p if kept is None else xp.empty_like(p)
    arrays = *_place(q), *_place(k), *_place(v), *masks, *_place(y), p, weights
    _launch("attend", T, B * H, *arrays, H, T, S, D, E, *_numbers(*settings))
    return y.reshape(*lead, T, E), p.reshape(*lead, T, S)


def dot_attention_vjp(g, q, k, v, p, kept, is_causal, scale, dropout_p):
    lead, xp = g.shape[:-2], array_module(g)
    p = dense(xp.broadcast_to(p, (*lead, *p.shape[-2:])))
    gs, weights = xp.empty((2, *p.shape), p.dtype)
    kept = _mask(kept, p.shape)
    g, q, k, v = (_in_heads(x, lead) for x in (g, q, k, v))
    gq, gk, gv = (_like(x, x.shape[-1]) for x in (q, k, v))
    (B, H, T, D), (S, E) = q.shape, v.shape[2:]
    numbers = H, T, S, D, E, *_numbers(is_causal, scale, dropout_p)
    arrays = *_place(k), *_place(v), *_place(g), *kept, *_place(gq), p, gs, weights
    _launch("queries_vjp", T, B * H, *arrays, *numbers)
    arrays = *_place(q), *_place(g), *_place(gk), *_place(gv), gs, weights
    _launch("keys_vjp", S, B * H, *arrays, *numbers[:-2])
    return tuple(x.reshape(*lead, *x.shape[2:]) for x in (gq, gk, gv))


def _launch(name, length, heads, q, *rest):
    """A kernel on the tiles of all heads."""
    launch("attention.cu", name, q.dtype, heads * -(-length // SIDE), q, *rest)


def _numbers(is_causal, scale, dropout_p):
    """The settings for a kernel; the last is what dropout multiplies by."""
    return int(is_causal), float(scale), 1 / (1 - dropout_p) if dropout_p < 1 else 1.0


def _in_heads(x, lead):
    """x as (B, H, T, D): its leading axes broadcast to lead and made two, its last one dense."""
    if x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
        x = dense(x)
    return _in_two(x, (*lead, *x.shape[-2:]))


def _in_two(x, shape):
    """x broadcast to a shape, then the axes before the last two made two."""
    x = x if x.shape == shape else array_module(x).broadcast_to(x, shape)
    return x.reshape(math.prod(shape[:-3]), *(shape[-3:-2] or (1,)), *shape[-2:])


def _place(x):
    """x (B, H, T, D) for a kernel: where it begins and the distances of batches, heads, rows."""
    return x, *(step // x.itemsize for step in x.strides[:3])


def _mask(x, shape):
    """A boolean array, or None, broadcast to a shape, for a kernel: as `_place`, and of columns."""
    if x is None:
        return None, 0, 0, 0, 0
    x = _in_two(x, shape)
    return x, *x.strides


def _like(x, width):
    """An array (B, H, T, width) whose axes lie in memory in the order of those of x.

    Where heads were split off the last axis, they go back to it without a copy.
    """
    B, H, T = x.shape[:3]
    if x.strides[2] > x.strides[1]:
        return array_module(x).empty((B, T, H, width), x.dtype).swapaxes(1, 2)
    return array_module(x).empty((B, H, T, width), x.dtype)
