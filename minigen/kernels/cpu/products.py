"""Matrix products: large ones on the tiles of `gemm.py`, in pieces on several threads.

Small ones, those with a batch and those of other dtypes are left to NumPy's BLAS. A product is cut
along its longer side, so the operand that each piece lays anew is the smaller one. How threads come
by the pieces is in `scheduler.py`.
"""

import math
from functools import cache

import numpy as np

from minigen.backend.arrays import broadcast_shapes
from minigen.backend.dtypes import FLOATS
from minigen.kernels.cpu.gemm import place, whole
from minigen.kernels.cpu.rows import pieces_of_sum, sum_rows
from minigen.kernels.cpu.scheduler import COLUMNS, Crew, crew_for
from minigen.kernels.cpu.tiles import ROWS, RUN, VECTOR
from minigen.kernels.reference import products as reference
from minigen.parallel import blas, deferred, pool
from minigen.parallel.pieces import PIECE, shares

FLOPS = 100  # a nanosecond, about: what one core reaches
SMALL = 2**20  # flops; of fewer, NumPy makes a product before a kernel has begun
LEAST = 24  # rows, columns, and terms of sums; with fewer, tiles are mostly empty
PANEL = VECTOR  # columns of a panel of four vectors

blas.hold_to_one_thread()  # this file is loaded at minigen's first product


def matmul(a, b, out=None):
    if a.ndim == b.ndim == 2:
        if _fit(a, b):
            if out is None:
                if _turned(a, b):
                    return np.ascontiguousarray(_product(b.T, a.T).T)
                return _product(a, b)
            if out.flags.carray and out.dtype == a.dtype and out.shape == (len(a), b.shape[1]):
                return _product(a, b, out=out)
        elif out is None:
            return np.dot(a, b)  # which does not ask for flags
    # BLAS computes with what lies beyond the ends of small operands, too, and throws it away; but
    # where that is no number the flag stays, and NumPy would warn of it.
    with np.errstate(invalid="ignore"):
        return _matmul(a, b, out)


def _matmul(a, b, out):
    if a.ndim == b.ndim == 2 or min(a.ndim, b.ndim) < 2:
        return np.matmul(a, b, out=out, order="C")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (m, k), n = a.shape[-2:], b.shape[-1]
    work = 2 * math.prod(batch) * m * k * n / FLOPS
    if work < 2 * PIECE:  # C order whatever that of the operands is, as below
        return np.matmul(a, b, out=out, order="C")
    if out is None:
        out = np.empty((*batch, m, n), np.result_type(a, b))
    a, b = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    axis = batch.index(max(batch))
    cuts = [(slice(None),) * axis + (s,) for s in shares(batch[axis], work)]
    pool.run(np.matmul, [(a[cut], b[cut], out[cut]) for cut in cuts])
    return out


def linear(x, weight, bias):
    if bias is None:
        return matmul(x, weight.T)
    if not _fit(x, weight.T) or bias.dtype != x.dtype:
        return reference.linear(x, weight, bias)
    level = np.zeros((1, len(weight) + PANEL), x.dtype)  # whole vectors are read
    level[0, : len(bias)] = bias
    return _product(x, weight.T, level)


def linear_vjp(g, x, weight, wanted, later):
    of_x, of_weight, of_bias = wanted
    if not (of_weight and of_bias) or not _fit(g, weight) or x.dtype != g.dtype:
        gx, gw = matmul(g, weight) if of_x else None, matmul(g.T, x) if of_weight else None
        return gx, gw, sum_rows(g) if of_bias else None
    g, x, weight = whole(g), whole(x), whole(weight)
    gb, sums = pieces_of_sum(g)
    gx = np.empty(x.shape, x.dtype) if of_x else None
    a, b = (x.T, g) if _turned(g.T, x, later) else (g.T, x)
    gw = np.empty((len(a), b.shape[1]), x.dtype)
    products = [(g, weight, None, gx)] if of_x else []
    if not (later and of_x and b is x and _put_off(a, b, gw)):
        products.append((a, b, None, gw))
    _make(products, sums)
    return gx, gw if b is x else np.ascontiguousarray(gw.T), gb


def _put_off(a, b, out):
    """Have out = a b made later; whether there is a thread for it."""
    if pool.get_num_threads() == 1:
        return False
    crew, product = crew_for(a.dtype), (a, b, None, out)
    put_off = crew.put_off(_given(*product), product)
    if put_off:
        deferred.defer(crew.finish)
    return put_off


def _fit(a, b):
    """Whether tiles are made for it."""
    return a.dtype == b.dtype and _worth_it(*a.shape, *b.shape, a.dtype)


@cache
def _worth_it(m, k, of_b, n, dtype):
    return min(m, k, n) >= LEAST and 2 * m * k * n >= SMALL and k == of_b and dtype in FLOATS


def _turned(a, b, later=False):
    """Whether b^T a^T is faster: what lies as columns of a is laid faster as rows of a^T.

    But a product that is turned cannot be put off: where it could be, only for very few columns.
    """
    (rows, depth), columns = a.shape, b.shape[1]
    few = columns < (rows // 3 if depth > RUN and not later else min(PANEL, rows))
    return few and a.strides[0] < a.strides[1]


def _product(a, b, level=None, out=None):
    """out = level + a b, level None for zeros."""
    a, b = whole(a), whole(b)
    out = np.empty((len(a), b.shape[1]), a.dtype) if out is None else out
    _make([(a, b, level, out)])
    return out


def _given(a, b, level, out):
    """What makes out = level + a b, as `Crew.run` takes it."""
    level = 0 if level is None else place(level)[0]
    pieces = _pieces(*a.shape, b.shape[1], pool.get_num_threads())
    return place(a), place(b), place(out), level, pieces


def _make(products, meanwhile=()):
    """Make each out = level + a b, and call what else there is."""
    given, dtype = [_given(*product) for product in products], products[0][0].dtype
    if not crew_for(dtype).run(given, products, meanwhile):
        Crew(dtype, helpers=False).run(given, products, meanwhile)


@cache
def _pieces(m, k, n, count):
    """The depth, the rows and the columns of each piece of a product, for so many threads."""
    work, down, along = 2 * m * k * n / FLOPS, [(0, m)], [(0, n)]
    if m >= n:
        down = _cut(m, ROWS, work)
    else:
        along = _cut(n, PANEL, work)
    along = [(i, min(i + COLUMNS, end)) for start, end in along for i in range(start, end, COLUMNS)]
    sides = [(k, *rows, *columns) for rows in down for columns in along]
    return np.array(sorted(sides, key=lambda s: (s[1] - s[2]) * (s[4] - s[3])))  # large ones first


def _cut(length, unit, work):
    """Spans of range(length), all but the last a number of whole units."""
    cuts = shares(-(-length // unit), work)
    return [(cut.start * unit, min(cut.stop * unit, length)) for cut in cuts]
