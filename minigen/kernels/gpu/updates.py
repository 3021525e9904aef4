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
    """Launch the kernel on all rows whose arrays it can step; the other rows."""
    dtype, table, others, held, blocks = rows[0][0].dtype, [], [], [], 0
    for row in rows:
        *written, g = row
        p, places = row[0], [x for x in written if x is not None]
        if not (g.shape == p.shape and all(_fits(x, dtype) for x in places) and g.dtype == dtype):
            others.append(row)
            continue
        g = dense(g)
        held.append(g)
        table.append(
            [*(0 if x is None else x.data.ptr for x in written), g.data.ptr, p.size, blocks]
        )
        blocks += -(-p.size // SHARE)
    if blocks:
        places = constant(np.array(table, np.int64))
        launch("updates.cu", name, dtype, blocks, places, len(table), SHARE, host_values(settings))
    return others


def _fits(x, dtype):
    return x.flags.c_contiguous and x.dtype == dtype and dtype in C_TYPES
