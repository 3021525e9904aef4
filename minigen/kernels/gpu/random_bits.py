"""Random numbers by the Philox generator (Salmon et al. 2011), the same bits as on the CPU."""

import numpy as np

from minigen.backend.arrays import array_module
from minigen.backend.devices import capturing
from minigen.kernels.gpu.launching import launch
from minigen.kernels.reference.random_bits import LOW32

FLOAT32 = np.dtype(np.float32)
WORDS = 1024  # that a block of threads computes: WORDS of random_bits.cu


def philox(out, seed, start):
    """`reference.philox`, a thread for each Philox block of four words."""
    return _filled("philox", FLOAT32, out, 1, seed, start)


def uniform(out, seed, start):
    """`reference.uniform`, words and numbers in one pass."""
    return _filled("uniform", out.dtype, out, out.itemsize // 4, seed, start)


def bernoulli(out, p, seed, start):
    """`reference.bernoulli`, words, numbers and comparisons in one pass."""
    return _filled("bernoulli", FLOAT32, out, 1, seed, start, float(p))


def _filled(name, dtype, out, words_per_item, seed, start, *constants):
    """out, filled by a kernel that takes that many words of the stream for each item."""
    y = out if out.flags.c_contiguous else array_module(out).empty(out.shape, out.dtype)
    blocks, key = -(-words_per_item * out.size // WORDS), (seed & LOW32, seed >> 32)
    start -= start >> 63 << 64  # the int64 with the same 64 bits
    recording = capturing.get()
    offset = None if recording is None else recording.stream_offset(seed)
    launch("random_bits.cu", name, dtype, blocks, y, *constants, *key, start, offset, out.size)
    if y is not out:
        out[...] = y
    return out
