"""Memory of the stand-in: guard bytes around each array, and NaN in uninitialised elements."""

import numpy as np

from stand_in.recording import allocator, held, perform, tape

GUARD, PATTERN = 64, 0xA5  # guard bytes before and after an array, and their value


def guarded(shape, dtype):
    """The memory of a new array with its guards, and the array in it."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = held(np.full(size + 2 * GUARD, PATTERN, np.uint8))
    inside = memory[GUARD : GUARD + size]
    inside.fill(0xFF)  # NaN as a float, -1 as an integer
    if tape.get() is not None and allocator.get() is not None:
        perform(lambda: inside.fill(0xFF))  # in a replay, other arrays have used this memory before
    return memory, inside.view(dtype).reshape(shape)


def check_guards(x, name):
    """RuntimeError if the kernel of that name wrote outside of the array x."""
    memory = x._memory
    if memory is not None and not (
        (memory[:GUARD] == PATTERN).all() and (memory[-GUARD:] == PATTERN).all()
    ):
        raise RuntimeError(f"{name} wrote outside of an array of shape {x.shape}")
