"""Work on the rows of a matrix: softmax and its like, a block of threads for each row."""

from math import prod

from minigen.backend import array_module
from minigen.kernels.gpu.launching import dense, launch


def softmax(x, axis):
    rows = _rows(x, axis)
    y = array_module(x).empty_like(rows)
    launch("rows.cu", "softmax", x.dtype, len(rows), rows, y, rows.shape[1], threads=_threads(rows))
    return _back(y, x, axis)


def _threads(rows):
    """How many threads a block of a row gets: a multiple of a warp, 1024 at most."""
    return min(max(-(-rows.shape[1] // 128) * 32, 32), 1024)


def _rows(x, axis):
    """x with axis last, as a dense matrix."""
    x = dense(x.swapaxes(axis, -1))
    return x.reshape(prod(x.shape[:-1]), x.shape[-1])


def _back(rows, x, axis):
    """The rows in the shape of x again."""
    return rows.reshape(x.swapaxes(axis, -1).shape).swapaxes(axis, -1)
