"""Put contiguous arguments of property tests between two pages that may not be touched.

    python -m pytest -n 0 -p tests.guard_pages tests/test_properties*.py

A kernel that reads beyond such an array then ends the process, and the traceback names it. Arrays
take turns in which of their sides touches a page. Results, which kernels allocate themselves, are
not guarded. Opt-in, on Linux and macOS: three system calls an array make it half as fast.
"""

import ctypes
import itertools
import math
import mmap

import numpy as np

from minigen.testing import memory

PAGE = mmap.PAGESIZE
at_end = itertools.cycle((True, False))
made = itertools.count()


def guarded(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that begins where a page before it ends, or ends where a page behind it begins."""
    size = math.prod(shape) * dtype.itemsize
    room = -(-max(size, 1) // PAGE) * PAGE
    block = mmap.mmap(-1, room + 2 * PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(block))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (base, base + PAGE + room):
        if protect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect failed")
    first = PAGE + (room - size if next(at_end) else 0)
    next(made)
    return np.frombuffer(block, dtype, math.prod(shape), first).reshape(shape)


def pytest_configure(config):
    memory.allocate = guarded


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"{next(made)} arrays between pages that may not be touched")
