"""Memory of the stand-in: guards on both sides, and NaN wherever nobody has written."""

import numpy as np

from stand_in.recording import allocator, held, perform, tape

GUARD, PATTERN = 64, 0xA5  # bytes before and behind an array that nobody may write


def guarded(shape, dtype):
    """Memory for an array, with its guards, and the array in it."""
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = held(np.full(count + 2 * GUARD, PATTERN, np.uint8))
    inside = memory[GUARD : GUARD + count]
    inside.fill(0xFF)  # NaN as a float, -1 as an integer
    if tape.get() is not None and allocator.get() is not None:
        perform(lambda: inside.fill(0xFF))  # in a replay others had this memory before
    return memory, inside.view(dtype).reshape(shape)


def check_guards(x, name):
    memory = x._memory
    if memory is not None and not (
        (memory[:GUARD] == PATTERN).all() and (memory[-GUARD:] == PATTERN).all()
    ):
        raise RuntimeError(f"{name} wrote outside of an array of shape {x.shape}")
