"""Random numbers by Philox 4x32-10 (Salmon et al. 2011), in batches that stay in the L1 cache.

A loop fills a batch with words, and then a second one converts them: LLVM vectorizes each of the
two, and would not vectorize a loop that did both.

A position in the stream of a seed is (block, word): word number 4 * block + word, where word may be
larger than 3. As one number it may need all 64 bits of an unsigned integer, and Numba converts the
sum of a signed and an unsigned integer to a float. k0 and k1 are the halves of the seed.
"""

import numpy as np

from minigen.kernels.cpu.compiling import U, compiled, inlined
from minigen.kernels.cpu.loops import flat
from minigen.kernels.reference.random_bits import (
    LOW32,
    PHILOX_MULTIPLIERS,
    PHILOX_ROUNDS,
    PHILOX_WEYL,
)
from minigen.parallel import pool
from minigen.parallel.pieces import shares

NS_PER_WORD = 1.2  # roughly, on one thread: the number of tasks depends on it
BATCH = 1024  # words: 4 KiB
BUFFER = BATCH + 4  # words: whole blocks of four, which have up to three words before the batch
_M0, _M1 = (np.uint64(m) for m in PHILOX_MULTIPLIERS)
_W0, _W1 = (np.uint64(w) for w in PHILOX_WEYL)
_LOW, _32 = np.uint64(LOW32), np.uint64(32)
_8, _11, _SCALE32 = np.uint32(8), np.uint64(11), np.float32(2**-24)


@inlined
def _fill_batch(batch, k0, k1, block, word, n):
    """Write the blocks that contain n words from (block, word) on; returns the first one's index.

    batch is (BUFFER,) uint32. The plain form of this loop is `reference.philox`.
    """
    block += word // 4
    for b in range((word % 4 + n + 3) // 4):
        counter = np.uint64(block + b)
        c0, c1, c2, c3 = counter & _LOW, counter >> _32, np.uint64(0), np.uint64(0)
        w0, w1 = np.uint64(k0), np.uint64(k1)
        for _ in range(PHILOX_ROUNDS):
            p0, p1 = _M0 * c0, _M1 * c2
            c0, c2 = (p1 >> _32) ^ c1 ^ w0, (p0 >> _32) ^ c3 ^ w1
            c1, c3 = p1 & _LOW, p0 & _LOW
            w0, w1 = (w0 + _W0) & _LOW, (w1 + _W1) & _LOW
        batch[4 * b], batch[4 * b + 1], batch[4 * b + 2], batch[4 * b + 3] = c0, c1, c2, c3
    return U(word % 4)


@compiled
def _philox(out, batch, k0, k1, block, word):
    """out (N,) uint32: the words from (block, word) on."""
    for i in range(0, out.size, BATCH):
        n = min(BATCH, out.size - i)
        first = _fill_batch(batch, k0, k1, block, word + i, n)
        for j in range(U(n)):
            out[U(i) + j] = batch[first + j]


@compiled
def _uniform32(out, batch, k0, k1, block, word):
    """out (N,) float32: uniform in [0, 1), from the 24 high bits of a word each."""
    for i in range(0, out.size, BATCH):
        n = min(BATCH, out.size - i)
        first = _fill_batch(batch, k0, k1, block, word + i, n)
        for j in range(U(n)):
            out[U(i) + j] = np.float32(batch[first + j] >> _8) * _SCALE32


@compiled
def _uniform64(out, batch, k0, k1, block, word):
    """out (N,) float64: uniform in [0, 1), from the 53 high bits of two words each."""
    for i in range(0, out.size, BATCH // 2):
        n = min(BATCH // 2, out.size - i)
        first = _fill_batch(batch, k0, k1, block, word + 2 * i, 2 * n)
        for j in range(U(n)):
            low, high = batch[first + U(2) * j], batch[first + U(2) * j + U(1)]
            bits = np.uint64(low) | np.uint64(high) << _32
            out[U(i) + j] = np.float64(bits >> _11) * 2**-53


@compiled
def _bernoulli(out, batch, k0, k1, block, word, p):
    """out (N,) bool: whether the float32 numbers of `_uniform32` are below p."""
    for i in range(0, out.size, BATCH):
        n = min(BATCH, out.size - i)
        first = _fill_batch(batch, k0, k1, block, word + i, n)
        for j in range(U(n)):
            out[U(i) + j] = np.float32(batch[first + j] >> _8) * _SCALE32 < p


def philox(out, seed, start):
    """`reference.philox` in vectorized loops."""
    return _filled(_philox, out, 1, seed, start)


def uniform(out, seed, start):
    """`reference.uniform` in vectorized loops."""
    if out.dtype == np.float32:
        return _filled(_uniform32, out, 1, seed, start)
    return _filled(_uniform64, out, 2, seed, start)


def bernoulli(out, p, seed, start):
    """`reference.bernoulli` in vectorized loops."""
    return _filled(_bernoulli, out, 1, seed, start, np.float32(p))


def _filled(loop, out, words_per_item, seed, start, *constants):
    """out, filled by a loop from the word `start` of the stream of a seed on."""
    y, work = flat(out), out.size * words_per_item * NS_PER_WORD
    key_and_block, word = (seed & LOW32, seed >> 32, start // 4), start % 4
    new_buffer = lambda: np.empty(BUFFER, np.uint32)
    tasks = [
        (y[s], new_buffer(), *key_and_block, word + words_per_item * s.start, *constants)
        for s in shares(y.size, work)
    ]
    pool.run(loop, tasks)
    if not out.flags.c_contiguous:
        out[...] = y.reshape(out.shape)
    return out
