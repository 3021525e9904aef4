"""Masked softmax, its VJP and dropout for the scores of one attention head.

The softmax is computed in place, in several passes over a row, which is in the cache: the maximum,
exp and sum, the division, and with a mask two more. With is_causal, query t sees the keys 0 to t
only; the rest of its row is set to 0, and hardly any of it is computed.
"""

import numpy as np

from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, U, compiled, inlined
from minigen.kernels.cpu.packing import array_at
from minigen.kernels.cpu.rows import CHUNK
from minigen.kernels.cpu.softmax import largest

# The loops that LLVM makes take four vectors at a time (of float32 with AVX2: 32 values) and the
# rest one by one. So the exact number of values takes longer than the next multiple.
UNROLLED = 32
BOOLEAN = np.bool_


@inlined(fastmath=REASSOCIATE)
def _exp_and_sum(row, top):
    """Replace row by exp(row - top), and return its sum.

    `softmax.py` has such a function with another array for the result. LLVM does not vectorize that
    one if both are the same array.
    """
    total = 0.0
    for start in range(0, row.size, CHUNK):
        x, chunk_total = row[start : start + CHUNK], row.dtype.type(0)
        for s in range(x.size):
            e = vm.exp(x[s] - top)
            x[s] = e
            chunk_total += e
        total += chunk_total
    return row.dtype.type(total)


@inlined(fastmath=REASSOCIATE)
def _scale_and_max(row, scale, visible, masked_score):
    """Multiply row by scale, set row[visible:] to masked_score, and return the maximum."""
    top = masked_score
    for s in range(row.size):
        value = row[s] * scale
        value = value if s < visible else masked_score
        row[s] = value
        top = vm.larger(top, value)
    return top


@compiled
def _visible_part(row, t, is_causal):
    """(visible, part): the keys that causality lets query t see are the first `visible` ones.

    part is the row up to there; its length is rounded up to a multiple of UNROLLED, within the row.
    """
    visible = min(t + 1, row.size) if is_causal else row.size
    return visible, row[: (visible + UNROLLED - 1) // UNROLLED * UNROLLED]


@compiled(fastmath=CONTRACT)
def softmax_rows(scores, mask, is_causal, scale):
    """Replace scores (T, S) by softmax(scale * scores) of each row; 0 for keys that are masked.

    mask: Strided, True where a key takes part; its pointer is 0 if there is none.
    """
    real = scores.dtype.type
    zero, one, nan, low = real(0), real(1), real(np.nan), real(-np.inf)
    takes_part, has_mask = array_at(mask.pointer, BOOLEAN), mask.pointer != 0
    row_stride, column_stride = mask.row_stride, mask.column_stride
    for t in range(len(scores)):
        visible, row = _visible_part(scores[t], t, is_causal)
        top = _scale_and_max(row, scale, visible, low)
        if has_mask:
            for s in range(row.size):
                row[s] = row[s] if takes_part[U(t * row_stride + s * column_stride)] else low
            top = largest(row)
        total = _exp_and_sum(row, top)
        if total == total:
            inverse = one / total
            for s in range(row.size):
                row[s] *= inverse
        else:  # a NaN, +inf, or nothing but -inf: NaN for all keys that take part
            for s in range(row.size):
                is_seen = s < visible and (
                    not has_mask or takes_part[U(t * row_stride + s * column_stride)]
                )
                row[s] = nan if is_seen else zero
        for s in range(row.size, scores.shape[1]):
            scores[t, s] = zero


@compiled
def dropout(p, keep_mask, scale, out):
    """out = p * scale where the Strided keep_mask is True, else 0; p and out (T, S)."""
    keeps, zero = array_at(keep_mask.pointer, BOOLEAN), p.dtype.type(0)
    row_stride, column_stride = keep_mask.row_stride, keep_mask.column_stride
    for t in range(len(p)):
        for s in range(p.shape[1]):
            is_kept = keeps[U(t * row_stride + s * column_stride)]
            out[t, s] = p[t, s] * scale if is_kept else zero


@inlined(fastmath=REASSOCIATE)
def _dot_nonzero(p, gp):
    """The sum of p * gp over a row; terms where p is 0 are 0, even if gp is NaN."""
    total, zero = 0.0, p.dtype.type(0)
    for start in range(0, p.size, CHUNK):
        x, y, chunk_total = p[start : start + CHUNK], gp[start:], zero
        for s in range(x.size):
            chunk_total += y[s] * x[s] if x[s] != 0 else zero
        total += chunk_total
    return p.dtype.type(total)


@compiled(fastmath=CONTRACT)
def softmax_rows_vjp(gp, p, is_causal, scale):
    """Replace gp (T, S) by scale * p * (gp - sum(gp * p)) for each row; 0 where p is 0."""
    zero = p.dtype.type(0)
    for t in range(len(p)):
        _, row = _visible_part(gp[t], t, is_causal)
        p_row = p[t, : row.size]
        gp_sum = _dot_nonzero(p_row, row)
        for s in range(row.size):
            row[s] = scale * p_row[s] * (row[s] - gp_sum) if p_row[s] != 0 else zero
        gp[t, row.size :] = zero
