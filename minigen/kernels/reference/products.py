"""Matrix products, and the linear layer with its VJP.

Products add some hundred terms at a time, but with many terms also the sums of these one after the
other, and in float32. So long products are cut into pieces, which are added in double precision.
"""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels.reference.sums import sum_over

FEW_TERMS = 2**9  # which any product may have
MANY_TERMS = 2**17  # which no product in float32 has at once
SMALL = 2**10  # values of a result: it takes little memory for each piece


def matmul(a, b, out=None):
    """a @ b (..., M, N), for a (..., M, K) and b (..., K, N); written to out where there is one."""
    multiply = array_module(a).matmul
    if a.shape[-1] > FEW_TERMS and (terms := terms_at_once(a, b)):
        return product_in_pieces(multiply, a, b, terms, out)
    return multiply(a, b, out=out)


def terms_at_once(a, b):
    """How many terms of a @ b a product may add in float32, if there are more; else None.

    Chosen so that errors stay below 1e-5 for equal terms, measured with OpenBLAS: its routines for
    matrices of few rows or columns add all terms one after the other.
    """
    if min(a.ndim, b.ndim) < 2 or not a.dtype == b.dtype == np.float32:
        return None
    m, k, n = *a.shape[-2:], b.shape[-1]
    limits = (  # of which shape, the most terms of a product, and those of a piece
        (m * n == 1, 2**14, 2**12),
        (m * n <= 2**6, FEW_TERMS, 2**8),
        (m * n <= SMALL and min(m, n) > 1, 2**10, 2**8),
        (min(m, n) < 24, 2**12, 2**8),
        (True, MANY_TERMS, 2**15),
    )
    longest, piece = next(limit[1:] for limit in limits if limit[0])
    return piece if k > longest and k == b.shape[-2] else None


def product_in_pieces(multiply, a, b, terms, out=None):
    """a @ b, as the sum in double of the products of pieces, each of that many terms at most."""
    (m, k), n, total, first = a.shape[-2:], b.shape[-1], 0, 0
    if m * n <= SMALL:  # all pieces of equal length at once, as a stack of matrices
        stack, first = k // terms, k // terms * terms
        a_pieces = a[..., :first].reshape(*a.shape[:-1], stack, terms).swapaxes(-2, -3)
        b_pieces = b[..., :first, :].reshape(*b.shape[:-2], stack, terms, n)
        total = multiply(a_pieces, b_pieces).sum(-3, dtype=np.float64)
    for j in range(first, k, terms):
        piece = multiply(a[..., j : j + terms], b[..., j : j + terms, :])
        total = total + piece.astype(np.float64)
    if out is None:
        return total.astype(a.dtype)
    out[...] = total
    return out


def linear(x, weight, bias):
    """x weight^T + bias (N, E), for x (N, D), weight (E, D) and bias (E,) or None."""
    y = _dot(x, weight.T)
    return y if bias is None else add_bias(y, bias)


def add_bias(y, bias):
    """y + bias, written to y if the dtypes are equal."""
    if y.dtype != bias.dtype:
        return y + bias
    y += bias
    return y


def _dot(a, b):
    """a @ b for matrices; np.dot does not ask for floating-point flags, as np.matmul does."""
    return a.dot(b) if a.shape[1] <= FEW_TERMS else matmul(a, b)


def linear_vjp(g, x, weight, wanted, may_defer):
    """Cotangents of x (N, D), weight (E, D) and bias (E,) for the cotangent g (N, E) of y.

        gx = g weight        (N, D)
        gweight = g^T x      (E, D)
        gbias = sum_n g      (E,)

    wanted: three truth values; None is returned for a cotangent that is not wanted. may_defer:
    whether the product g^T x may be computed later, at the latest when the `deferring` block of
    `parallel.deferred` ends, in which the call then must be. Only `cpu/` makes use of it.
    """
    x_wanted, weight_wanted, bias_wanted = wanted
    gx, gw = _dot(g, weight) if x_wanted else None, _dot(g.T, x) if weight_wanted else None
    return gx, gw, sum_over(g, 0) if bias_wanted else None
