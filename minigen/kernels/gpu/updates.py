"""Optimizer steps, written into the parameters: one launch for all parameters of a bucket.

As in `cpu/updates.py`, each takes rows (p, g, *state) and the settings of the optimizer's formula,
and returns the rows that it did not update.
"""

import numpy as np

from minigen.kernels.gpu.launching import C_TYPES, dense, launch, upload, upload_constant

ELEMENTS = 4096  # of a block; enough to outweigh its search for its row (estimated, not measured)


def sgd(rows, settings):
    """`optim.SGD.formula` on each row of arrays."""
    return _updated("sgd", rows, settings)


def rmsprop(rows, settings):
    """`optim.RMSprop.formula` on each row of arrays."""
    return _updated("rmsprop", rows, settings)


def adam(rows, settings):
    """`optim.Adam.formula` on each row of arrays."""
    return _updated("adam", rows, settings)


def adamw(rows, settings):
    """`optim.AdamW.formula` on each row of arrays."""
    return _updated("adamw", rows, settings)


def _updated(name, rows, settings):
    """Launch the kernel on all rows that it can take; return the others.

    The table has a row of seven int64 for each parameter: `ParameterRow` of updates.cu.
    """
    dtype, table, rest, blocks, in_use = rows[0][0].dtype, [], [], 0, []
    for row in rows:
        p, g, *state = row
        arrays = [p, dense(g), *state, *[None] * (3 - len(state))]
        if _can_take(arrays, dtype):
            pointers = [0 if x is None else x.data.ptr for x in arrays]
            table.append([*pointers, p.size, blocks])
            blocks += -(-p.size // ELEMENTS)
            in_use.append(arrays)  # keeps copies alive until the kernel is launched
        else:
            rest.append(row)
    if blocks:
        args = upload_constant(np.array(table, np.int64)), len(table), ELEMENTS, upload(settings)
        launch("updates.cu", name, dtype, blocks, *args)
    return rest


def _can_take(arrays, dtype):
    """Whether the arrays (None is ignored) have that dtype, one shape, and no gaps."""
    shape = arrays[0].shape
    return dtype in C_TYPES and all(
        x.dtype == dtype and x.shape == shape and x.flags.c_contiguous
        for x in arrays
        if x is not None
    )
