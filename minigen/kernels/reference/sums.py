"""Sums over any axes: floats are added in double precision and rounded once.

Added in float32 one after the other, 10^6 terms of 0.1 give 100958: each addition rounds a total
that is large beside the term (Higham 1993, "The accuracy of floating point summation").
"""

import math

import numpy as np

from minigen.backend.arrays import array_module

# Terms: added one after the other in float32, they are right to SHORT * 2^-24 = 8e-6 at worst.
SHORT = 128


def wide_if_long(dtype, size):
    """The dtype in which to add that many terms, a product of numbers: float64 beyond SHORT."""
    return np.float64 if dtype.kind == "f" and math.prod(size) > SHORT else dtype


def sum_over(x, axes, keepdims=False):
    """The sum of x over axes, an int or a tuple, in the dtype of x; of integers and bools int64."""
    if x.dtype.kind != "f":
        return x.sum(axes, dtype=np.int64, keepdims=keepdims)
    return x.sum(axes, dtype=np.float64, keepdims=keepdims).astype(x.dtype, copy=False)


def deviations(x, axes):
    """x minus its mean over axes, and the mean, whose axes are kept; NaN for no values.

    The mean is rounded, by 0.004 at 10^5: so the mean of the deviations is subtracted from them
    (the corrected two-pass algorithm of Chan, Golub and LeVeque 1983).
    """
    n = math.prod(x.shape[i] for i in axes) or math.nan
    mean = sum_over(x, axes, keepdims=True) / n
    d = x - mean
    shift = sum_over(d, axes, keepdims=True) / n
    return d - shift, mean + shift


def add_at(out, index, updates):
    """out[index] += updates, in place; elements that index names several times get the sum."""
    add = array_module(out).add
    if out.dtype.kind != "f":
        add.at(out, index, updates)
    else:
        total = out.astype(np.float64)
        add.at(total, index, updates.astype(np.float64, copy=False))
        out[...] = total
