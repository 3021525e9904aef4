"""Matrix products by NumPy's BLAS, large ones in pieces on several threads.

A product is cut along its batch, its rows or its columns, and each piece writes its own part of
the result; or, where the sums are long and many operands give few results, as in the gradient of
a weight, along the sums, and the parts are added. Which it is depends on the shapes alone.
"""

import math

import numpy as np

from minigen import threads
from minigen.kernels.reference import products as reference

FLOPS = 100  # a nanosecond, about: what BLAS reaches on one core
SMALL = 2 * threads.PIECE * FLOPS  # products of fewer are not cut
# Rows or columns of a piece: of 100, BLAS takes 1.2 times as long in all, of 50 twice as long.
LEAST = 192
# Terms of the sums of a piece; sums of 1,800 in parts of 900 take BLAS itself less time.
LEAST_TERMS = 512

threads.hold_blas()  # this file is loaded at minigen's first product


def matmul(a, b, out=None):
    if a.ndim == b.ndim == 2:
        batch, small = (), 2 * a.size * b.shape[1] < SMALL
    elif min(a.ndim, b.ndim) < 2:
        return np.matmul(a, b, out=out)
    else:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        small = 2 * math.prod(batch) * a.shape[-2] * a.shape[-1] * b.shape[-1] < SMALL
    if small:  # C order whatever that of the operands is, as below
        return np.matmul(a, b, out=out, order="C")
    (m, k), n = a.shape[-2:], b.shape[-1]
    if out is None:
        out = np.empty((*batch, m, n), np.result_type(a, b))
    work = 2 * math.prod(batch) * m * k * n / FLOPS
    if math.prod(batch) > 1:
        a, b = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
        axis = batch.index(max(batch))
        cuts = [(slice(None),) * axis + (s,) for s in threads.spans(batch[axis], work)]
        pieces = [(a[cut], b[cut], out[cut]) for cut in cuts]
    elif k >= max(2 * LEAST_TERMS, 2 * m, 2 * n):
        cuts = threads.spans(k, work, LEAST_TERMS)
        parts = np.empty((len(cuts), *out.shape), out.dtype)
        threads.run(np.matmul, [(a[..., s], b[..., s, :], part) for s, part in zip(cuts, parts)])
        return parts.sum(0, out=out)
    elif m >= 2 * LEAST or m >= n:
        pieces = [(a[..., s, :], b, out[..., s, :]) for s in threads.spans(m, work, LEAST)]
    else:
        pieces = [(a, b[..., s], out[..., s]) for s in threads.spans(n, work, LEAST)]
    threads.run(np.matmul, pieces)
    return out


def linear(x, weight, bias):
    if bias is None:
        return matmul(x, weight.T)
    work = 2 * x.size * len(weight) / FLOPS
    if work < 2 * threads.PIECE or not x.dtype == weight.dtype == bias.dtype:
        return reference.linear(x, weight, bias)
    y = np.empty((len(x), len(weight)), x.dtype)
    if len(x) >= 2 * LEAST or len(x) >= len(weight):
        pieces = [(x[s], weight, bias, y[s]) for s in threads.spans(len(x), work, LEAST)]
    else:
        cuts = threads.spans(len(weight), work, LEAST)
        pieces = [(x, weight[s], bias[s], y[:, s]) for s in cuts]
    threads.run(_linear, pieces)
    return y


def _linear(x, weight, bias, y):
    np.matmul(x, weight.T, out=y)
    y += bias  # while y is in the cache
