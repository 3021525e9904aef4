"""Matrix products on cuBLAS, which reads transposed, sliced and broadcast operands in place.

cuBLAS takes column-major matrices. A row-major matrix is its transpose in column-major order, so
out = a @ b is computed as out^T = b^T @ a^T.
"""

from typing import NamedTuple

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.blas import DATA_TYPES, Operand, gemm
from minigen.kernels.gpu.launching import result_dtype
from minigen.kernels.gpu.rows import sum_over
from minigen.kernels.reference.products import product_in_pieces

MAX_TERMS = 2**14  # of a float32 product: cuBLAS may add them one after the other in each thread


class Calls(NamedTuple):
    """The calls of cuBLAS for stacks of matrices: each multiplies a batch with equal strides."""

    batch: int
    strides: list  # from a matrix to the next in a batch, in elements, for each operand
    offsets: list  # of the first matrices, in bytes: for each call a tuple, one for each operand


def matmul(a, b, out=None):
    """`reference.matmul`: a @ b, by `multiply` if the dtype is float32 or float64."""
    xp = array_module(a)
    dtype = result_dtype(a, b)
    if a.ndim < 2 or b.ndim < 2 or dtype not in DATA_TYPES:
        return xp.matmul(a, b, out=out)
    if a.shape[-1] > MAX_TERMS and dtype == np.float32:
        return product_in_pieces(matmul, a, b, MAX_TERMS // 4, out)
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit")
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if out is None:
        out = xp.empty((*lead, a.shape[-2], b.shape[-1]), dtype)
    return multiply(a.astype(dtype, copy=False), b.astype(dtype, copy=False), out)


def linear(x, weight, bias):
    """`reference.linear`: the product is added to the bias in place."""
    dtype = result_dtype(x, weight, bias)
    y = array_module(x).empty((len(x), len(weight)), dtype)
    if bias is not None:
        y[...] = bias
    x, weight = x.astype(dtype, copy=False), weight.astype(dtype, copy=False)
    return multiply(x, weight.T, y, accumulate=bias is not None)


def linear_vjp(g, x, weight, wanted, may_defer):
    """`reference.linear_vjp`; nothing is deferred, as a launch does not wait for its result."""
    x_wanted, weight_wanted, bias_wanted = wanted
    gx, gw = matmul(g, weight) if x_wanted else None, matmul(g.T, x) if weight_wanted else None
    return gx, gw, sum_over(g, 0) if bias_wanted else None


def multiply(a, b, out, accumulate=False):
    """out = a @ b or out += a @ b: (..., m, k) @ (..., k, n) = (..., m, n), all of one dtype.

    out is C-contiguous; leading axes of a and b are broadcast to its. Returns out.
    """
    m, k, n = *a.shape[-2:], b.shape[-1]
    if out.size == 0 or k == 0:
        if not accumulate:
            out.fill(0)
        return out
    lead = out.shape[:-2]
    if lead and b.ndim == 2 and a.shape[:-2] == lead and a.flags.c_contiguous:
        return multiply(a.reshape(-1, k), b, out.reshape(-1, n), accumulate).reshape(out.shape)
    (a, a_transposed, lda), (b, b_transposed, ldb) = map(_as_blas_operand, (a, b))
    xp = array_module(a)
    stacks = [xp.broadcast_to(a, (*lead, m, k)), xp.broadcast_to(b, (*lead, k, n)), out]
    batch, strides, offsets = _calls(lead, stacks)
    for a_offset, b_offset, out_offset in offsets:
        left = Operand(a.data.ptr + a_offset, a_transposed, lda, strides[0])
        right = Operand(b.data.ptr + b_offset, b_transposed, ldb, strides[1])
        result = Operand(out.data.ptr + out_offset, False, n, strides[2])
        gemm(out.dtype, (n, m, k), right, left, result, batch, accumulate)
    return out


def _as_blas_operand(x):
    """x, whether it is transposed (its columns are contiguous), and its leading dimension.

    The leading dimension is the stride, in elements, of rows or of columns that are contiguous. If
    neither rows nor columns are contiguous, x is copied.
    """
    (rows, columns), size = x.shape[-2:], x.itemsize
    row_stride, column_stride = (stride // size for stride in x.strides[-2:])
    if (column_stride == 1 or columns == 1) and row_stride >= columns:
        return x, False, row_stride
    if (row_stride == 1 or rows == 1) and column_stride >= rows:
        return x, True, column_stride
    if rows == 1 and column_stride == 1:  # the stride of an axis of length 1 may be any number
        return x, False, columns
    if columns == 1 and row_stride == 1:
        return x, True, rows
    return array_module(x).ascontiguousarray(x), False, columns


def _calls(lead, stacks):
    """The calls of cuBLAS for stacks of matrices that share the leading axes `lead`.

    A call covers as many of the innermost leading axes as can be merged into one axis with a
    constant stride in each stack; there is a call for each index of the other axes.
    """
    axes = [(n, [x.strides[i] for x in stacks]) for i, n in enumerate(lead) if n > 1]
    merged = []
    for n, strides in axes:
        if merged and all(outer == n * inner for outer, inner in zip(merged[-1][1], strides)):
            merged[-1] = merged[-1][0] * n, strides
        else:
            merged.append((n, strides))
    batch, strides = merged.pop() if merged else (1, [0, 0, 0])
    offsets = [(0, 0, 0)]
    for n, outer in merged:
        offsets = [
            tuple(offset + i * stride for offset, stride in zip(start, outer))
            for start in offsets
            for i in range(n)
        ]
    return Calls(batch, [stride // stacks[0].itemsize for stride in strides], offsets)
