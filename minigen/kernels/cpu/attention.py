"""Scaled dot-product attention (Vaswani et al. 2017) and its VJP, one head after the other.

All matrices of a head fit the caches: its scores are computed, turned into probabilities and
multiplied with the values before the next head begins. Unlike FlashAttention (Dao 2023), which
never stores the T x S probabilities, the forward pass stores them for the backward pass. Heads
are dealt out to the threads. With is_causal, the products skip the half of the scores that is
masked: see `gemm.C_LOWER_WANTED` and its neighbours.
"""

import math
from typing import NamedTuple

import numpy as np

from minigen.backend.arrays import broadcast_shapes
from minigen.kernels.cpu.attention_scores import dropout, softmax_rows, softmax_rows_vjp
from minigen.kernels.cpu.compiling import REASSOCIATE, U, compiled, inlined
from minigen.kernels.cpu.gemm import (
    A_LOWER_NONZERO,
    A_UPPER_NONZERO,
    C_LOWER_WANTED,
    DENSE,
    Shape,
    gemm,
    with_element_strides,
    workspace_for,
)
from minigen.kernels.cpu.packing import Strided, array_at, strided
from minigen.kernels.cpu.tiles import pointer_to
from minigen.kernels.reference import attention as reference
from minigen.parallel import pool
from minigen.parallel.pieces import shares

NS_PER_SCORE = 1.0  # of the softmax, about
FLOPS_PER_NS = 50  # of the products of a head, about
NO_ARRAY = (0,) * 5  # the pointer and strides of a mask that is None


class HeadSizes(NamedTuple):
    """H heads in a batch element; T queries and S keys of width D; values of width E."""

    heads: int
    queries: int
    keys: int
    width: int
    value_width: int


class Options(NamedTuple):
    """What the kernels take besides arrays. dropout_scale = 1 / (1 - dropout_p)."""

    is_causal: bool
    scale: float
    dropout_scale: float


@compiled
def _head(x, n, heads, size):
    """Head n as a Strided matrix, for (pointer, four strides) x of a (B, H, rows, columns) array.

    size: bytes of an element.
    """
    pointer, batch_stride, head_stride, row_stride, column_stride = x
    offset = n // heads * batch_stride + n % heads * head_stride
    return Strided(pointer + offset * size, row_stride, column_stride)


@compiled
def _transposed(x):
    """The transpose of a Strided matrix."""
    return Strided(x.pointer, x.column_stride, x.row_stride)


@compiled
def _forward(first, last, sizes, arrays, masks, options, workspace):
    """P = softmax(scale Q K^T) and Y = dropout(P) V, for the heads first to last of all batches.

    sizes, options: the fields of `HeadSizes` and `Options`. arrays: (pointer, four strides) of q,
    k, v, p and y, and masks: of mask and keep_mask, each (B, H, rows, columns). Pointers, for
    arrays of each memory layout would be compiled anew; and plain tuples, for Numba takes them
    over from Python a microsecond faster than NamedTuples.
    """
    sizes, options = HeadSizes(*sizes), Options(*options)
    heads, queries, keys, size = sizes.heads, sizes.queries, sizes.keys, workspace.itemsize
    all_q, all_k, all_v, all_p, all_y = arrays
    no_bias = np.int64(0)  # for a literal 0 Numba would compile `gemm` once more
    all_masks, all_keep_masks = masks
    scores_zeros, p_zeros = DENSE, DENSE
    if options.is_causal:
        scores_zeros, p_zeros = C_LOWER_WANTED, A_LOWER_NONZERO
    scores_shape = Shape(sizes.width, 0, queries, 0, keys)
    values_shape = Shape(keys, 0, queries, 0, sizes.value_width)
    dropped = np.empty((queries, keys), workspace.dtype)
    for n in range(first, last):
        q, k = _head(all_q, n, heads, size), _head(all_k, n, heads, size)
        v, y = _head(all_v, n, heads, size), _head(all_y, n, heads, size)
        mask, keep_mask = _head(all_masks, n, heads, 1), _head(all_keep_masks, n, heads, 1)
        p = _head(all_p, n, heads, size)
        gemm(q, _transposed(k), p, no_bias, scores_shape, scores_zeros, workspace)
        probabilities = array_at(p.pointer, dropped)[: queries * keys].reshape(queries, keys)
        softmax_rows(probabilities, mask, options.is_causal, options.scale)
        if keep_mask.pointer:
            dropout(probabilities, keep_mask, options.dropout_scale, dropped)
            p = Strided(pointer_to(dropped, 0), keys, 1)
        gemm(p, v, y, no_bias, values_shape, p_zeros, workspace)


def dot_attention(q, k, v, mask, keep_mask, is_causal, scale, dropout_p):
    """`reference.dot_attention`, with the heads of all batches as the tasks."""
    batch = broadcast_shapes(*(x.shape[:-2] for x in (q, k, mask) if x is not None))
    if broadcast_shapes(batch, v.shape[:-2]) != batch or not q.size * k.size * v.size:
        return reference.dot_attention(q, k, v, mask, keep_mask, is_causal, scale, dropout_p)
    p_shape = *batch, q.shape[-2], k.shape[-2]
    q, k, v = (_as_heads(x, (*batch, *x.shape[-2:])) for x in (q, k, v))
    masks = [_as_heads(x, p_shape) for x in (mask, keep_mask)]
    p, y = np.empty(_four_axes(p_shape), q.dtype), _empty_like(q, v.shape[-1])
    _run(_forward, (q, k, v, p, y), masks, is_causal, scale, dropout_p)
    return y.reshape(*p_shape[:-1], v.shape[-1]), p.reshape(p_shape)


def _run(kernel, arrays, masks, is_causal, scale, dropout_p, *outputs):
    """Call kernel for ranges of heads, on all threads. arrays: q, k, v, ..., each (B, H, T, D)."""
    q, k, v = arrays[:3]
    (batch, heads, queries, width), keys, value_width = q.shape, k.shape[2], v.shape[3]
    sizes = heads, queries, keys, width, value_width
    dropout_scale, real = 1 / (1 - dropout_p) if dropout_p < 1 else 1, q.dtype.type
    options = is_causal, real(scale), real(dropout_scale)
    pointers = tuple(strided(x) for x in arrays)
    mask_pointers = tuple(NO_ARRAY if x is None else strided(x) for x in masks)
    common = sizes, pointers, mask_pointers, options, *outputs
    largest_size = max(queries, keys, width, value_width)
    flops = 2 * (width + value_width)  # for each score
    work = batch * heads * queries * keys * (NS_PER_SCORE + flops / FLOPS_PER_NS)
    new_workspace = lambda: workspace_for(q.dtype, largest_size, largest_size)
    ranges = shares(batch * heads, work)
    pool.run(kernel, [(s.start, s.stop, *common, new_workspace()) for s in ranges])


@inlined(fastmath=REASSOCIATE)
def _sum_all(x, rows, row_stride, columns):
    """The sum of all values of a matrix in the flat array x."""
    total = x.dtype.type(0)
    for t in range(rows):
        for s in range(columns):
            total += x[U(t * row_stride + s)]
    return total


@compiled
def _backward(first, last, sizes, arrays, masks, options, totals, workspace):
    """The cotangents of Q, K and V, for the heads first to last of all batches.

    arrays: (pointer, four strides) of q, k, v, g, p, gq, gk and gv; masks: of keep_mask alone. The
    formulas are in `reference.dot_attention_vjp`. totals[n] gets the sum of all cotangents of
    head n added to it: it is not finite if one of them is not.
    """
    sizes, options = HeadSizes(*sizes), Options(*options)
    heads, queries, keys, size = sizes.heads, sizes.queries, sizes.keys, workspace.itemsize
    all_q, all_k, all_v, all_g, all_p, all_gq, all_gk, all_gv = arrays
    no_bias = np.int64(0)  # for a literal 0 Numba would compile `gemm` once more
    gp_zeros, gs_zeros, transposed_zeros = DENSE, DENSE, DENSE
    if options.is_causal:
        gp_zeros, gs_zeros, transposed_zeros = C_LOWER_WANTED, A_LOWER_NONZERO, A_UPPER_NONZERO
    gp_shape = Shape(sizes.value_width, 0, queries, 0, keys)
    gq_shape = Shape(keys, 0, queries, 0, sizes.width)
    gk_shape = Shape(queries, 0, keys, 0, sizes.width)
    gv_shape = Shape(queries, 0, keys, 0, sizes.value_width)
    # Two arrays rather than one of twice the size: of a part of an array Numba would not know
    # that its rows are contiguous.
    gs = np.empty((queries, keys), workspace.dtype)  # first gP, then gS
    dropped = np.empty((queries, keys), workspace.dtype)
    gs_matrix = Strided(pointer_to(gs, 0), keys, 1)
    for n in range(first, last):
        q, k = _head(all_q, n, heads, size), _head(all_k, n, heads, size)
        v, g = _head(all_v, n, heads, size), _head(all_g, n, heads, size)
        gq, gk = _head(all_gq, n, heads, size), _head(all_gk, n, heads, size)
        gv, p = _head(all_gv, n, heads, size), _head(all_p, n, heads, size)
        keep_mask = _head(masks[0], n, heads, 1)
        gemm(g, _transposed(v), gs_matrix, no_bias, gp_shape, gp_zeros, workspace)
        probabilities = array_at(p.pointer, dropped)[: queries * keys].reshape(queries, keys)
        if keep_mask.pointer:
            dropout(gs, keep_mask, options.dropout_scale, gs)
            dropout(probabilities, keep_mask, options.dropout_scale, dropped)
            p = Strided(pointer_to(dropped, 0), keys, 1)
        softmax_rows_vjp(gs, probabilities, options.is_causal, options.scale)
        for a, b, c, shape, zeros in (
            (gs_matrix, k, gq, gq_shape, gs_zeros),
            (_transposed(gs_matrix), q, gk, gk_shape, transposed_zeros),
            (_transposed(p), g, gv, gv_shape, transposed_zeros),
        ):  # one call in a loop: LLVM may inline `gemm` at each call
            gemm(a, b, c, no_bias, shape, zeros, workspace)
            values = array_at(c.pointer, workspace)
            totals[n] += _sum_all(values, shape.m_stop, c.row_stride, shape.n_stop)


def dot_attention_vjp(g, q, k, v, p, keep_mask, is_causal, scale, dropout_p):
    """`reference.dot_attention_vjp`, with the heads of all batches as the tasks.

    The kernel computes as if nothing were NaN. If a cotangent is, masked values are replaced as
    the reference does, and all is computed once more.
    """
    batch, constants = g.shape[:-2], (keep_mask, is_causal, scale, dropout_p)
    if p.shape[:-2] != batch or not q.size * k.size * v.size:
        return reference.dot_attention_vjp(g, q, k, v, p, *constants)
    *gradients, total = _vjp(g, q, k, v, p, *constants)
    if not np.isfinite(total):
        q, k, p = reference.zero_masked_nans(g, q, k, p)
        *gradients, _ = _vjp(g, q, k, v, p, *constants)
    return tuple(x.reshape(*batch, *x.shape[2:]) for x in gradients)


def _vjp(g, q, k, v, p, keep_mask, is_causal, scale, dropout_p):
    """The cotangents of q, k and v, each (B, H, rows, columns), and the sum of all their values."""
    q, k, v, g = (_as_heads(x, (*g.shape[:-2], *x.shape[-2:])) for x in (q, k, v, g))
    keep_mask = _as_heads(keep_mask, p.shape)
    p = np.ascontiguousarray(p).reshape(_four_axes(p.shape))
    gradients = _empty_gradients(q, k, v)
    totals = np.zeros(g.shape[0] * g.shape[1], g.dtype)
    arrays = q, k, v, g, p, *gradients
    _run(_backward, arrays, [keep_mask], is_causal, scale, dropout_p, totals)
    return *gradients, totals.sum()


def _four_axes(shape):
    """A shape with at least two axes as (B, H, rows, columns): 1 for axes that it lacks."""
    return math.prod(shape[:-3]), *(shape[-3:-2] or (1,)), *shape[-2:]


def _as_heads(x, shape):
    """x broadcast to a shape, then as (B, H, rows, columns); None for None."""
    if x is None:
        return None
    x = x if x.shape == shape else np.broadcast_to(x, shape)
    return with_element_strides(x if len(shape) == 4 else x.reshape(_four_axes(shape)))


def _empty_gradients(q, k, v):
    """Arrays like q, k and v (B, H, T, D); parts of one array where q, k and v are.

    In self-attention, one product computes q, k and v side by side, (B, T, 3, H, D) in memory.
    The cotangent of its result is then the one array, which need not be concatenated.
    """
    batch, heads, length, width = q.shape
    if q.shape == k.shape == v.shape and q.strides[2] == 3 * heads * width * q.itemsize:
        return np.empty((batch, length, 3, heads, width), q.dtype).transpose(2, 0, 3, 1, 4)
    return [_empty_like(x, x.shape[-1]) for x in (q, k, v)]


def _empty_like(x, width):
    """An array (B, H, T, width) whose axes have the order in memory of those of x (B, H, T, D).

    Where heads are parts of a row (B, T, H * D), they can be joined again without a copy.
    """
    batch, heads, length = x.shape[:3]
    if x.strides[2] > x.strides[1]:
        return np.empty((batch, length, heads, width), x.dtype).swapaxes(1, 2)
    return np.empty((batch, heads, length, width), x.dtype)
