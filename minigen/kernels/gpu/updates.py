"""Optimizer steps, written into the parameters: all arrays in one launch.

As in `cpu/updates.py`: rows and settings of an optimizer's formula in, rows not done out.
"""

import numpy as np

from minigen.kernels.gpu.launching import C_TYPES, constant, dense, host_values, launch

SHARE = 4096  # elements of a block: enough to outweigh that it looks for its array


def sgd(rows, settings):
    return _launched("sgd", rows, settings)


def rmsprop(rows, settings):
    return _launched("rmsprop", rows, settings)


def adam(rows, settings):
    return _launched("adam", rows, settings)


def adamw(rows, settings):
    return _launched("adamw", rows, settings)


def _launched(name, rows, settings):
    """Launch the kernel on the rows that it can step; the others."""
    dtype, table, rest, blocks, kept = rows[0][0].dtype, [], [], 0, []
    for row in rows:
        p, g, *state = row
        arrays = [p, dense(g), *state, *[None] * (2 - len(state))]
        if _fits(arrays, dtype):
            pointers = [0 if x is None else x.data.ptr for x in arrays]
            table.append([*pointers, p.size, blocks])
            blocks += -(-p.size // SHARE)
            kept.append(arrays)  # until the kernel is launched
        else:
            rest.append(row)
    if blocks:
        args = constant(np.array(table, np.int64)), len(table), SHARE, host_values(settings)
        launch("updates.cu", name, dtype, blocks, *args)
    return rest


def _fits(arrays, dtype):
    given, shape = [x for x in arrays if x is not None], arrays[0].shape
    return dtype in C_TYPES and all(
        x.dtype == dtype and x.shape == shape and x.flags.c_contiguous for x in given
    )
