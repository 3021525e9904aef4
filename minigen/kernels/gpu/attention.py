"""Scaled dot-product attention: one kernel forward and two backward, wherever the heads lie."""

import math

import numpy as np

from minigen.backend import array_module
from minigen.kernels.gpu.launching import C_TYPES, dense, launch
from minigen.kernels.reference import attention as reference

SIDE = 64  # queries or keys of a block


def dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p):
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in (q, k, mask) if x is not None))
    if np.broadcast_shapes(lead, v.shape[:-2]) != lead or not _of_one_dtype(q, k, v):
        return reference.dot_attention(q, k, v, mask, kept, is_causal, scale, dropout_p)
    xp, (T, D), (S, E) = array_module(q), q.shape[-2:], v.shape[-2:]
    masks = *_mask(mask, (*lead, T, S)), *_mask(kept, (*lead, T, S))
    q, k, v = (_in_heads(x, lead) for x in (q, k, v))
    (B, H), y = q.shape[:2], _like(q, E)
    p = xp.empty((B, H, T, S), q.dtype)
    weights = p if kept is None else xp.empty_like(p)
    arrays = *_place(q), *_place(k), *_place(v), *masks, *_place(y), p, weights
    sides, numbers = (H, T, S, D, E, int(is_causal)), (float(scale), _share(dropout_p))
    launch("attention.cu", "attend", q.dtype, B * H * -(-T // SIDE), *arrays, *sides, *numbers)
    return y.reshape(*lead, T, E), p.reshape(*lead, T, S)


def dot_attention_vjp(g, q, k, v, p, kept, is_causal, scale, dropout_p):
    lead = g.shape[:-2]
    if p.shape[:-2] != lead or not _of_one_dtype(g, q, k, v, p):
        return reference.dot_attention_vjp(g, q, k, v, p, kept, is_causal, scale, dropout_p)
    kept, p = _mask(kept, p.shape), dense(p)
    gs, weights = array_module(g).empty((2, *p.shape), p.dtype)
    g, q, k, v = (_in_heads(x, lead) for x in (g, q, k, v))
    (B, H, T, D), (S, E) = q.shape, v.shape[2:]
    gq, gk, gv = (_like(x, x.shape[-1]) for x in (q, k, v))
    sides, numbers = (H, T, S, D, E, int(is_causal)), (float(scale), _share(dropout_p))
    arrays = *_place(k), *_place(v), *_place(g), *kept, *_place(gq), p, gs, weights
    launch("attention.cu", "queries_vjp", p.dtype, B * H * -(-T // SIDE), *arrays, *sides, *numbers)
    arrays = *_place(q), *_place(g), *_place(gk), *_place(gv), gs, weights
    launch("attention.cu", "keys_vjp", p.dtype, B * H * -(-S // SIDE), *arrays, *sides)
    return tuple(x.reshape(*lead, *x.shape[2:]) for x in (gq, gk, gv))


def _of_one_dtype(*arrays):
    """Whether all arrays are of one and the same dtype, which kernels are compiled for."""
    return arrays[0].dtype in C_TYPES and len({x.dtype for x in arrays}) == 1


def _share(dropout_p):
    """What dropout multiplies by where it keeps."""
    return 1 / (1 - dropout_p) if dropout_p < 1 else 1.0


def _in_heads(x, lead):
    """x, with its leading axes broadcast to lead and made two, its last axis dense: (B, H, T, D)."""
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
