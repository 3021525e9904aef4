"""Matrix products on cuBLAS, which reads transposed, sliced and broadcast operands in place.

cuBLAS takes matrices column after column, which of ours are the transposes: so it is asked for
out^T = b^T @ a^T.
"""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.blas import DATA_TYPES, gemm
from minigen.kernels.gpu.launching import result_dtype
from minigen.kernels.gpu.rows import sum_rows


def matmul(a, b, out=None):
    xp = array_module(a)
    dtype = result_dtype(a, b)
    if a.ndim < 2 or b.ndim < 2 or dtype not in DATA_TYPES:
        return xp.matmul(a, b, out=out)
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit")
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if out is None:
        out = xp.empty((*lead, a.shape[-2], b.shape[-1]), dtype)
    return multiply(a.astype(dtype, copy=False), b.astype(dtype, copy=False), out)


def linear(x, weight, bias):
    dtype = result_dtype(x, weight, bias)
    y = array_module(x).empty((len(x), len(weight)), dtype)
    if bias is not None:
        y[...] = bias
    x, weight = x.astype(dtype, copy=False), weight.astype(dtype, copy=False)
    return multiply(x, weight.T, y, accumulate=bias is not None)


def linear_vjp(g, x, weight, wanted, later):
    of_x, of_weight, of_bias = wanted
    gx, gw = matmul(g, weight) if of_x else None, matmul(g.T, x) if of_weight else None
    return gx, gw, sum_rows(g) if of_bias else None


def multiply(a, b, out, accumulate=False):
    """out = a @ b or out += a @ b: (..., M, K) @ (..., K, N), out C-contiguous, of one dtype."""
    M, K, N = *a.shape[-2:], b.shape[-1]
    if out.size == 0 or K == 0:
        if not accumulate:
            out.fill(0)
        return out
    lead = out.shape[:-2]
    if lead and b.ndim == 2 and a.shape[:-2] == lead and a.flags.c_contiguous:
        return multiply(a.reshape(-1, K), b, out.reshape(-1, N), accumulate).reshape(out.shape)
    (a, a_turned, a_step), (b, b_turned, b_step) = map(_stored, (a, b))
    xp = array_module(a)
    stacks = [xp.broadcast_to(a, (*lead, M, K)), xp.broadcast_to(b, (*lead, K, N)), out]
    batch, steps, places = _stack(lead, stacks)
    for a_place, b_place, out_place in places:
        left = a.data.ptr + a_place, a_turned, a_step, steps[0]
        right = b.data.ptr + b_place, b_turned, b_step, steps[1]
        result = out.data.ptr + out_place, False, N, steps[2]
        gemm(out.dtype, N, M, K, right, left, result, batch, accumulate)
    return out


def _stored(x):
    """x, whether its columns lie one after the other, and the distance between them.

    Without that the same of its rows; x is copied where neither are dense.
    """
    (rows, columns), size = x.shape[-2:], x.itemsize
    down, along = (step // size for step in x.strides[-2:])
    if (along == 1 or columns == 1) and down >= columns:
        return x, False, down
    if (down == 1 or rows == 1) and along >= rows:
        return x, True, along
    if rows == 1 and along == 1:  # the step of a side of 1 may be anything
        return x, False, columns
    if columns == 1 and down == 1:
        return x, True, rows
    return array_module(x).ascontiguousarray(x), False, columns


def _stack(lead, stacks):
    """How to go through stacks of matrices that share their leading sides.

    The length of the longest inner run of equal steps, those steps in elements, and where each
    run begins, in bytes.
    """
    sides = [(n, [x.strides[i] for x in stacks]) for i, n in enumerate(lead) if n > 1]
    merged = []
    for n, steps in sides:
        if merged and all(before == n * step for before, step in zip(merged[-1][1], steps)):
            merged[-1] = merged[-1][0] * n, steps
        else:
            merged.append((n, steps))
    batch, steps = merged.pop() if merged else (1, [0, 0, 0])
    places = [(0, 0, 0)]
    for n, outer in merged:
        places = [tuple(p + i * s for p, s in zip(at, outer)) for at in places for i in range(n)]
    return batch, [step // stacks[0].itemsize for step in steps], places
