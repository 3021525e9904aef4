"""Gather from and scatter to the rows of a matrix, each row by its own indices."""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.kernels import reference
from minigen.kernels.gpu.launching import C_TYPES, dense, launch_items


def take_along_rows(x, index):
    """`reference.take_along_rows`, a thread for each result."""
    if x.dtype not in C_TYPES:
        return reference.take_along_rows(x, index)
    x, index = dense(x), dense(index, np.int32)
    y = array_module(x).empty(index.shape, x.dtype)
    args = x, index, y, x.shape[1], index.shape[1]
    launch_items("indexing.cu", "take_along_rows", x.dtype, y.size, *args)
    return y


def scatter_along_rows(g, index, size):
    """`reference.scatter_along_rows`, a warp for each row."""
    if g.dtype not in C_TYPES:
        return reference.scatter_along_rows(g, index, size)
    g, index = dense(g), dense(index, np.int32)
    x = array_module(g).empty((len(g), size), np.float64)
    args = g, index, x, size, index.shape[1]
    launch_items("indexing.cu", "scatter_along_rows", g.dtype, 32 * len(g), *args)
    return x.astype(g.dtype, copy=False)
