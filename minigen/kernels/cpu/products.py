"""Matrix products of floats: large ones by `gemm.py`, on several threads; others by NumPy's BLAS.

BLAS gets small products, batches of matrices and other dtypes. A large product is cut into tasks
along the longer dimension of its result, so each task packs the smaller factor for itself. How
threads take tasks is in `scheduler.py`.
"""

import math
from functools import cache

import numpy as np

from minigen.backend.arrays import broadcast_shapes
from minigen.backend.dtypes import FLOATS
from minigen.kernels.cpu.gemm import N_BLOCK, with_element_strides
from minigen.kernels.cpu.packing import strided
from minigen.kernels.cpu.scheduler import Scheduler, scheduler_for
from minigen.kernels.cpu.sums import sum_over, sum_rows_tasks
from minigen.kernels.cpu.task_queue import Product
from minigen.kernels.cpu.tiles import K_BLOCK, TILE_ROWS, VECTOR_BYTES
from minigen.kernels.reference import products as reference
from minigen.parallel import blas, deferred, pool
from minigen.parallel.pieces import PIECE, shares

FLOPS_PER_NS = 100  # about what one core reaches
MIN_FLOPS = 2**20  # of smaller products: NumPy has computed them before a kernel has begun
MIN_DIMENSION = 24  # of m, k and n: of smaller ones, tiles would be mostly empty
# Columns of a task are multiples of this: of the widest panel, four vectors, for float32; of two
# of them for float64. It is also the length by which a bias is padded, for whole vectors are read.
COLUMN_UNIT = VECTOR_BYTES

blas.hold_to_one_thread()  # here, for this file is loaded at minigen's first product


def matmul(a, b, out=None):
    """`reference.matmul`, of two matrices by `gemm` if that is faster; the result is in C order."""
    if a.shape[-1] > reference.FEW_TERMS and (terms := reference.terms_at_once(a, b)):
        return reference.product_in_pieces(matmul, a, b, terms, out)
    if a.ndim == b.ndim == 2:
        if _is_for_gemm(a, b):
            if out is None:
                if _is_faster_transposed(a, b):
                    return np.ascontiguousarray(_gemm(b.T, a.T).T)
                return _gemm(a, b)
            if out.flags.carray and out.dtype == a.dtype and out.shape == (len(a), b.shape[1]):
                return _gemm(a, b, out=out)
        elif out is None:
            return np.dot(a, b)  # faster than np.matmul: it does not ask for floating-point flags
    # For small operands BLAS also computes with the memory beyond their ends, and drops those
    # results. If there is a NaN in that memory, the invalid flag is set all the same, and NumPy
    # would warn of it.
    with np.errstate(invalid="ignore"):
        return _numpy_matmul(a, b, out)


def _numpy_matmul(a, b, out):
    """np.matmul in C order, with the largest batch axis cut into tasks if the product is large."""
    if a.ndim == b.ndim == 2 or min(a.ndim, b.ndim) < 2:
        return np.matmul(a, b, out=out, order="C")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (m, k), n = a.shape[-2:], b.shape[-1]
    work = 2 * math.prod(batch) * m * k * n / FLOPS_PER_NS
    if work < 2 * PIECE:
        return np.matmul(a, b, out=out, order="C")
    if out is None:
        out = np.empty((*batch, m, n), np.result_type(a, b))
    a, b = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    axis = batch.index(max(batch))
    cuts = [(slice(None),) * axis + (s,) for s in shares(batch[axis], work)]
    pool.run(np.matmul, [(a[cut], b[cut], out[cut]) for cut in cuts])
    return out


def linear(x, weight, bias):
    """`reference.linear`, with the bias as the initial sums of the product."""
    if bias is None:
        return matmul(x, weight.T)
    if not _is_for_gemm(x, weight.T) or bias.dtype != x.dtype or x.shape[1] > reference.MANY_TERMS:
        return reference.add_bias(matmul(x, weight.T), bias)
    padded = np.zeros((1, len(weight) + COLUMN_UNIT), x.dtype)
    padded[0, : len(bias)] = bias
    return _gemm(x, weight.T, padded)


def linear_vjp(g, x, weight, wanted, may_defer):
    """`reference.linear_vjp`, its products and the sum of the bias as one set of tasks."""
    x_wanted, weight_wanted, bias_wanted = wanted
    is_one_job = weight_wanted and bias_wanted and len(g) <= reference.MANY_TERMS
    if not is_one_job or not _is_for_gemm(g, weight) or x.dtype != g.dtype:
        gx = matmul(g, weight) if x_wanted else None
        gw = matmul(g.T, x) if weight_wanted else None
        return gx, gw, sum_over(g, 0) if bias_wanted else None
    g, x, weight = with_element_strides(g), with_element_strides(x), with_element_strides(weight)
    gb, sum_tasks = sum_rows_tasks(np.ascontiguousarray(g)[None])
    gx = np.empty(x.shape, x.dtype) if x_wanted else None
    is_transposed = _is_faster_transposed(g.T, x, may_defer)
    a, b = (x.T, g) if is_transposed else (g.T, x)
    gw = np.empty((len(a), b.shape[1]), x.dtype)  # (E, D), or its transpose
    products = [(g, weight, None, gx)] if x_wanted else []
    if not (may_defer and x_wanted and not is_transposed and _defer(a, b, gw)):
        products.append((a, b, None, gw))
    _compute(products, sum_tasks)
    return gx, np.ascontiguousarray(gw.T) if is_transposed else gw, gb


def _defer(a, b, out):
    """Have out = a b computed before the `deferring` block ends; False if no worker is free."""
    if pool.get_num_threads() == 1:
        return False
    scheduler, arrays = scheduler_for(a.dtype), (a, b, None, out)
    is_deferred = scheduler.defer(_product(*arrays), arrays)
    if is_deferred:
        deferred.defer(scheduler.finish_deferred)
    return is_deferred


def _is_for_gemm(a, b):
    """Whether `gemm` can compute a b, and is likely to be faster than BLAS."""
    return a.dtype == b.dtype and _is_large_enough(*a.shape, *b.shape, a.dtype)


@cache
def _is_large_enough(m, k, rows_of_b, n, dtype):
    """Whether an (m, k) by (rows_of_b, n) product is valid, of floats, and worth a kernel."""
    is_large = min(m, k, n) >= MIN_DIMENSION and 2 * m * k * n >= MIN_FLOPS
    return is_large and k == rows_of_b and dtype in FLOATS


def _is_faster_transposed(a, b, may_defer=False):
    """Whether b^T a^T is faster than a b: to pack an a in Fortran order is slower than its rows.

    A transposed product cannot be deferred. Where it could be, it is only for very few columns.
    """
    (m, k), n = a.shape, b.shape[1]
    is_narrow = n < (m // 3 if k > K_BLOCK and not may_defer else min(COLUMN_UNIT, m))
    return is_narrow and a.strides[0] < a.strides[1]


def _gemm(a, b, bias=None, out=None):
    """out = bias + a b on all threads; a bias of None is 0, and out is created if None."""
    a, b = with_element_strides(a), with_element_strides(b)
    out = np.empty((len(a), b.shape[1]), a.dtype) if out is None else out
    _compute([(a, b, bias, out)])
    return out


def _product(a, b, bias, out):
    """The `Product` out = bias + a b of arrays; a bias of None is 0."""
    bias_pointer = 0 if bias is None else strided(bias)[0]
    parts = _parts(*a.shape, b.shape[1], pool.get_num_threads())
    return Product(strided(a), strided(b), strided(out), bias_pointer, parts)


def _compute(arrays, calls=()):
    """out = bias + a b for each (a, b, bias, out) in arrays, and function(*args) for each call."""
    products, dtype = [_product(*operands) for operands in arrays], arrays[0][0].dtype
    if not scheduler_for(dtype).run(products, arrays, calls):
        # Another thread uses the scheduler: compute in this thread, without workers.
        Scheduler(dtype, uses_workers=False).run(products, arrays, calls)


@cache
def _parts(m, k, n, threads):
    """The fields of a `gemm.Shape` for each task of a product, (tasks, 5), largest first.

    The result is cached, and `shares` reads the number of threads: so it is an argument.
    """
    work, row_ranges, column_ranges = 2 * m * k * n / FLOPS_PER_NS, [(0, m)], [(0, n)]
    if m >= n:
        row_ranges = _ranges(m, TILE_ROWS, work)
    else:
        column_ranges = _ranges(n, COLUMN_UNIT, work)
    column_ranges = [
        (j, min(j + N_BLOCK, stop))
        for start, stop in column_ranges
        for j in range(start, stop, N_BLOCK)
    ]
    shapes = [(k, *rows, *columns) for rows in row_ranges for columns in column_ranges]
    return np.array(sorted(shapes, key=lambda s: (s[1] - s[2]) * (s[4] - s[3])))


def _ranges(length, unit, work):
    """(start, stop) of the parts of range(length), each but the last a multiple of unit long."""
    cuts = shares(-(-length // unit), work)
    return [(cut.start * unit, min(cut.stop * unit, length)) for cut in cuts]
