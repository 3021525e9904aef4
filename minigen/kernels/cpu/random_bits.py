"""Random bits: the Philox generator, in batches of words that stay in the first cache.

Words are made in one loop and used in the next, so that both become loops over vectors. A place
in the stream is the word `word` from the block `block` on: as one number it may need all 64 bits,
and Numba makes a float of an unsigned number and one with a sign.
"""

import numpy as np

from minigen.kernels.cpu.compiling import compiled, inlined
from minigen.kernels.cpu.loops import flat
from minigen.kernels.cpu.tiles import U
from minigen.kernels.reference.random_bits import (
    LOW32,
    PHILOX_MULTIPLIERS,
    PHILOX_ROUNDS,
    PHILOX_WEYL,
)
from minigen.parallel import pool
from minigen.parallel.pieces import shares

NANOSECONDS = 1.2  # a word, about
BATCH = 1024  # words
SPACE = BATCH + 4  # words: they come in blocks of four, and up to three stand before the first
_M0, _M1 = (np.uint64(m) for m in PHILOX_MULTIPLIERS)
_W0, _W1 = (np.uint64(w) for w in PHILOX_WEYL)
_LOW, _32 = np.uint64(LOW32), np.uint64(32)
_8, _11, _SCALE32 = np.uint32(8), np.uint64(11), np.float32(2**-24)


@inlined
def _words(batch, k0, k1, block, word, count):
    """Write `count` words from the word `word` on into batch; returns where they begin there."""
    block += word // 4
    for b in range((word % 4 + count + 3) // 4):
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
    for i in range(0, out.size, BATCH):
        count = min(BATCH, out.size - i)
        first = _words(batch, k0, k1, block, word + i, count)
        for j in range(U(count)):
            out[U(i) + j] = batch[first + j]


@compiled
def _unit32(out, batch, k0, k1, block, word):
    for i in range(0, out.size, BATCH):
        count = min(BATCH, out.size - i)
        first = _words(batch, k0, k1, block, word + i, count)
        for j in range(U(count)):
            out[U(i) + j] = np.float32(batch[first + j] >> _8) * _SCALE32


@compiled
def _unit64(out, batch, k0, k1, block, word):
    for i in range(0, out.size, BATCH // 2):
        count = min(BATCH // 2, out.size - i)
        first = _words(batch, k0, k1, block, word + 2 * i, 2 * count)
        for j in range(U(count)):
            low, high = batch[first + U(2) * j], batch[first + U(2) * j + U(1)]
            bits = np.uint64(low) | np.uint64(high) << _32
            out[U(i) + j] = np.float64(bits >> _11) * 2**-53


@compiled
def _bernoulli(out, batch, k0, k1, block, word, p):
    for i in range(0, out.size, BATCH):
        count = min(BATCH, out.size - i)
        first = _words(batch, k0, k1, block, word + i, count)
        for j in range(U(count)):
            out[U(i) + j] = np.float32(batch[first + j] >> _8) * _SCALE32 < p


def philox(out, seed, start):
    return _filled(_philox, out, 1, seed, start)


def uniform(out, seed, start):
    if out.dtype == np.float32:
        return _filled(_unit32, out, 1, seed, start)
    return _filled(_unit64, out, 2, seed, start)


def bernoulli(out, p, seed, start):
    return _filled(_bernoulli, out, 1, seed, start, np.float32(p))


def _filled(loop, out, each, seed, start, *constants):
    """out, written by a loop that takes `each` words of the stream for an item."""
    y, work = flat(out), out.size * each * NANOSECONDS
    stream = seed & LOW32, seed >> 32, start // 4
    pool.run(
        loop,
        [
            (y[s], np.empty(SPACE, np.uint32), *stream, start % 4 + each * s.start, *constants)
            for s in shares(y.size, work)
        ],
    )
    if not out.flags.c_contiguous:
        out[...] = y.reshape(out.shape)
    return out
