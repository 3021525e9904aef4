"""Optimizer steps, written into the parameters: all arrays in one launch."""

import numpy as np

from minigen.kernels.gpu.launching import C_TYPES, constant, dense, host_values, launch
from minigen.kernels.reference import updates as reference

SHARE = 4096  # elements of a block: enough to outweigh that it looks for its array


def sgd(ps, vs, gs, settings):
    rows = [(p, None, v, g) for p, v, g in zip(ps, vs or [None] * len(ps), gs, strict=True)]
    for p, _, v, g in _launched("sgd", rows, settings):
        reference.sgd([p], vs and [v], [g], settings)
    return ps


def adam(ps, ms, vs, gs, settings):
    rows = list(zip(ps, ms, vs, gs, strict=True))
    for row in _launched("adam", rows, settings):
        reference.adam(*([x] for x in row), settings)
    return ps


def _launched(name, rows, settings):
    """Launch the kernel on the rows of arrays that it can step; the others."""
    rows = [(*written, dense(g)) for *written, g in rows]
    dtype, fitting, others = rows[0][0].dtype, [], []
    for row in rows:
        (fitting if _fits(row, dtype) else others).append(row)
    table, blocks = [], 0
    for row in fitting:
        places = [0 if x is None else x.data.ptr for x in row]
        table.append([*places, row[0].size, blocks])
        blocks += -(-row[0].size // SHARE)
    if blocks:
        args = constant(np.array(table, np.int64)), len(table), SHARE, host_values(settings)
        launch("updates.cu", name, dtype, blocks, *args)
    return others


def _fits(row, dtype):
    given = [x for x in row if x is not None]
    shape = row[0].shape
    return dtype in C_TYPES and all(
        x.dtype == dtype and x.shape == shape and x.flags.c_contiguous for x in given
    )
