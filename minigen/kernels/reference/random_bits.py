"""Random numbers by Philox 4x32-10, a counter-based generator.

Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". A block of four 32-bit words is a
function of a 128-bit counter and a 64-bit key, ten rounds of multiplications and exclusive ors. The
seed is the key. The words of blocks 0, 1, 2, ... are the stream of the seed: word number w is word
w % 4 of block w // 4.
"""

import numpy as np

from minigen.backend.arrays import array_module

PHILOX_ROUNDS = 10
PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # of the two 32 x 32-bit products of a round
PHILOX_WEYL = 0x9E3779B9, 0xBB67AE85  # added to the halves of the key after each round
LOW32 = 0xFFFFFFFF  # the mask of the low half of 64 bits


def philox(out, seed, start):
    """Fill out (N,) uint32 with words start, start + 1, ... of the stream of a seed; returns out.

    seed and start are integers in [0, 2^64).
    """
    xp = array_module(out)
    first, last = start // 4, (start + out.size + 3) // 4
    block = xp.arange(last - first, dtype=np.uint64) + np.uint64(first)
    low, shift = np.uint64(LOW32), np.uint64(32)
    c0, c1 = block & low, block >> shift
    c2, c3 = xp.zeros_like(block), xp.zeros_like(block)
    k0, k1 = seed & LOW32, seed >> 32
    m0, m1 = map(np.uint64, PHILOX_MULTIPLIERS)
    for _ in range(PHILOX_ROUNDS):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> shift) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + PHILOX_WEYL[0]) & LOW32, (k1 + PHILOX_WEYL[1]) & LOW32
    words = xp.stack([c0, c1, c2, c3], axis=1).astype(np.uint32).ravel()
    out[...] = words[start % 4 : start % 4 + out.size]
    return out


def uniform(out, seed, start):
    """Fill out (...) with numbers uniform in [0, 1), from word start on; returns out.

    A float32 is the 24 high bits of a word, a float64 the 53 high bits of two words, of which the
    first is the low half: the dtype holds that many bits exactly.
    """
    xp = array_module(out)
    words = philox(xp.empty(out.nbytes // 4, np.uint32), seed, start)
    if out.dtype == np.float32:
        u = (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    else:
        bits = words[0::2].astype(np.uint64) | words[1::2].astype(np.uint64) << np.uint64(32)
        u = (bits >> np.uint64(11)).astype(np.float64) * 2**-53
    out[...] = u.reshape(out.shape)
    return out


def bernoulli(out, p, seed, start):
    """Fill out (...) bool with uniform(...) < p, in float32; returns out.

    p is a Python float. Each value takes one word.
    """
    out[...] = uniform(array_module(out).empty(out.shape, np.float32), seed, start) < p
    return out
