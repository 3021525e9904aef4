"""Random bits: the Philox generator."""

import numpy as np

from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.reference.bits import (
    LOW32,
    PHILOX_MULTIPLIERS,
    PHILOX_ROUNDS,
    PHILOX_WEYL,
)

_M0, _M1 = (np.uint64(m) for m in PHILOX_MULTIPLIERS)
_W0, _W1 = (np.uint64(w) for w in PHILOX_WEYL)
_LOW, _32, _4 = np.uint64(LOW32), np.uint64(32), np.uint64(4)


@compiled
def _philox(out, k0, k1, start):
    n = out.size
    word = start % _4
    block = start // _4
    i = 0
    while i < n:
        c0, c1, c2, c3 = block & _LOW, block >> _32, np.uint64(0), np.uint64(0)
        a, b = k0, k1
        for _ in range(PHILOX_ROUNDS):
            p0, p1 = _M0 * c0, _M1 * c2
            c0, c2 = (p1 >> _32) ^ c1 ^ a, (p0 >> _32) ^ c3 ^ b
            c1, c3 = p1 & _LOW, p0 & _LOW
            a, b = (a + _W0) & _LOW, (b + _W1) & _LOW
        for c in (c0, c1, c2, c3):
            if word > 0:
                word -= np.uint64(1)
            elif i < n:
                out[i] = np.uint32(c)
                i += 1
        block += np.uint64(1)


def philox(out, seed, start):
    _philox(out, np.uint64(seed & LOW32), np.uint64(seed >> 32), np.uint64(start))
    return out
