"""Random bits: the Philox generator, a thread for each of its blocks of four words."""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.backend.devices import capturing
from minigen.kernels.gpu.launching import THREADS, launch
from minigen.kernels.reference.random_bits import LOW32

FLOAT32 = np.dtype(np.float32)


def philox(out, seed, start):
    return _filled("philox", FLOAT32, out, 1, seed, start)


def uniform(out, seed, start):
    return _filled("uniform", out.dtype, out, out.itemsize // 4, seed, start)


def bernoulli(out, p, seed, start):
    return _filled("bernoulli", FLOAT32, out, 1, seed, start, float(p))


def _filled(name, dtype, out, each, seed, start, *constants):
    """out, written by a kernel that takes `each` words of the stream for an item."""
    y = out if out.flags.c_contiguous else array_module(out).empty(out.shape, out.dtype)
    blocks, key = -(-each * out.size // (4 * THREADS)), (seed & LOW32, seed >> 32)
    start -= start >> 63 << 64  # the same 64 bits, with a sign
    recording = capturing.get()
    further = None if recording is None else recording.offset(seed)
    launch("random_bits.cu", name, dtype, blocks, y, *constants, *key, start, further, out.size)
    if y is not out:
        out[...] = y
    return out
