"""Scaled dot-product attention: one kernel forward and two backward, for any strides of the heads.

q (B, H, T, D), k (B, H, S, D) and v (B, H, S, E) are read where they are: no copy is made where
heads were split off the last axis of a projection, or broadcast.
"""

import math
from typing import NamedTuple

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense, launch
from minigen.kernels.gpu.products import matmul
from minigen.kernels.reference.attention import apply_dropout

TILE = 64  # queries or keys of a block: TILE of tiles.cuh


class HeadStrides(NamedTuple):
    """`HeadStrides` of attention.cu: strides in elements; the last axis is contiguous."""

    batch: int
    head: int
    row: int


class MaskStrides(NamedTuple):
    """`MaskStrides` of attention.cu: strides in elements, which are bytes."""

    batch: int
    head: int
    query: int
    key: int


class Problem(NamedTuple):
    """`Problem` of attention.cu: the sizes and settings of a call."""

    heads: int
    T: int
    S: int
    D: int
    E: int
    is_causal: int
    scale: float
    keep_scale: float


def dot_attention(q, k, v, mask, keep_mask, is_causal, scale, dropout_p):
    """`reference.dot_attention` with an online softmax, in one launch."""
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in (q, k, mask) if x is not None))
    if np.broadcast_shapes(lead, v.shape[:-2]) != lead:  # v has more heads than p
        _, p = dot_attention(q, k, k[..., :0], mask, None, is_causal, scale, dropout_p)
        return matmul(p if keep_mask is None else apply_dropout(p, keep_mask, dropout_p), v), p
    xp, T, S, E = array_module(q), q.shape[-2], *v.shape[-2:]
    masks = *_with_mask_strides(mask, (*lead, T, S)), *_with_mask_strides(keep_mask, (*lead, T, S))
    q, k, v = (_with_heads(x, lead) for x in (q, k, v))
    (B, H), y = q.shape[:2], _empty_like(q, E)
    p = xp.empty((B, H, T, S), q.dtype)
    weights = p if keep_mask is None else xp.empty_like(p)
    problem = _problem(q, v, is_causal, scale, dropout_p)
    arrays = *_with_strides(q, k, v), *masks, *_with_strides(y), p, weights
    _launch("attend", T, problem, B, *arrays)
    return y.reshape(*lead, T, E), p.reshape(*lead, T, S)


def dot_attention_vjp(g, q, k, v, p, keep_mask, is_causal, scale, dropout_p):
    """`reference.dot_attention_vjp` in two launches: over queries for q, over keys for k and v."""
    lead, xp = g.shape[:-2], array_module(g)
    p = dense(xp.broadcast_to(p, (*lead, *p.shape[-2:])))
    gs, weights = xp.empty((2, *p.shape), p.dtype)
    mask = _with_mask_strides(keep_mask, p.shape)
    g, q, k, v = (_with_heads(x, lead) for x in (g, q, k, v))
    gq, gk, gv = (_empty_like(x, x.shape[-1]) for x in (q, k, v))
    problem, B = _problem(q, v, is_causal, scale, dropout_p), len(q)
    arrays = *_with_strides(k, v, g), *mask, *_with_strides(gq), p, gs, weights
    _launch("queries_vjp", problem.T, problem, B, *arrays)
    _launch("keys_vjp", problem.S, problem, B, *_with_strides(q, g, gk, gv), gs, weights)
    return tuple(x.reshape(*lead, *x.shape[2:]) for x in (gq, gk, gv))


def _launch(name, length, problem, batch, q, *rest):
    """Launch a kernel on the tiles of all heads, each of `length` queries or keys."""
    blocks = batch * problem.heads * -(-length // TILE)
    launch("attention.cu", name, q.dtype, blocks, q, *rest, problem)


def _problem(q, v, is_causal, scale, dropout_p):
    """The sizes of q (B, H, T, D) and v (B, H, S, E), with the settings."""
    keep_scale = 1 / (1 - dropout_p) if dropout_p < 1 else 1.0
    return Problem(
        *q.shape[1:3], v.shape[2], q.shape[3], v.shape[3], int(is_causal), float(scale), keep_scale
    )


def _with_heads(x, lead):
    """x (..., T, D), its leading axes broadcast to `lead`, as (B, H, T, D) with contiguous rows."""
    if x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
        x = dense(x)
    return _with_two_leading_axes(x, (*lead, *x.shape[-2:]))


def _with_two_leading_axes(x, shape):
    """x broadcast to a shape (..., H, T, D), and its first axes merged: (B, H, T, D)."""
    x = x if x.shape == shape else array_module(x).broadcast_to(x, shape)
    return x.reshape(math.prod(shape[:-3]), *(shape[-3:-2] or (1,)), *shape[-2:])


def _with_strides(*arrays):
    """Each array (B, H, T, D), followed by its strides: arguments of a kernel."""
    return [
        argument
        for x in arrays
        for argument in (x, HeadStrides(*(s // x.itemsize for s in x.strides[:3])))
    ]


def _with_mask_strides(x, shape):
    """A boolean array, or None, broadcast to a shape (..., T, S), followed by its strides."""
    if x is None:
        return None, MaskStrides(0, 0, 0, 0)
    x = _with_two_leading_axes(x, shape)
    return x, MaskStrides(*x.strides)


def _empty_like(x, width):
    """An array (B, H, T, width) whose axes have the order in memory of those of x (B, H, T, D).

    Where heads were split off the last axis of a projection, merging them then needs no copy.
    """
    B, H, T = x.shape[:3]
    if x.strides[2] > x.strides[1]:
        return array_module(x).empty((B, T, H, width), x.dtype).swapaxes(1, 2)
    return array_module(x).empty((B, H, T, width), x.dtype)
