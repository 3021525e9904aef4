"""Matrix products on tiles, with both factors laid out piece by piece so that caches hold them."""

import numpy as np

from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.packing import GAP, LINE, copy_values, memory_at, pack_panels, pack_rows
from minigen.kernels.cpu.tiles import ROWS, RUN, VECTOR, U, panel_of, place_of, put_tile

BLOCK = 22 * ROWS  # rows at work at a time: of RUN steps, they and a panel fit the second cache
GAPS = BLOCK // ROWS * GAP
TABLES = -(-8 * (BLOCK + RUN) // LINE) * LINE  # bytes, of `places` and `steps`

# What is known of a product whose rows and columns are places in time.
ALL, PAST, OF_PAST, OF_FUTURE = range(4)  # ALL: nothing. PAST: c[m, j] is wanted for j <= m alone.
# OF_PAST: a[m, r] counts for r <= m alone; OF_FUTURE: for r >= m.


def space_for(dtype: np.dtype, depth: int, columns: int) -> np.ndarray:
    """What `product` works in, for products of that depth and so many columns, or smaller ones."""
    lanes, run = VECTOR // dtype.itemsize, min(depth, RUN)
    block = BLOCK * run + GAPS
    rest = (4 * ROWS + 9) * lanes + TABLES // dtype.itemsize + LINE
    return np.empty(run * (columns + lanes) + block + rest, dtype)


def whole(x: np.ndarray) -> np.ndarray:
    """x, if it lies at distances of whole values, as `place` takes it, else a copy that does."""
    size = x.itemsize
    for stride in x.strides:
        if stride % size:
            return x.copy()
    return x


@compiled
def place(x):
    """The address of x, and the distances along its axes in values; in a fifth of Python's time."""
    address, size, strides = place_of(x, 0), x.itemsize, x.strides
    if x.ndim == 2:
        return address, strides[0] // size, strides[1] // size
    return address, strides[0] // size, strides[1] // size, strides[2] // size, strides[3] // size


@compiled
def product(a, b, c, level, sides, known, space):
    """c[m, j] = level[j] + sum over r of a[m, r] * b[r, j].

    Each of a, b, c is an address and the distances, in values, from row to row and from column to
    column; for c that is 1. level is an address, of as many values as whole vectors need, or 0.
    sides: the depth, the first row and the one behind the last, and so for the columns. A row of
    a is used where it lies if it lies together.
    """
    of_a, of_b, of_c = memory_at(a[0], space), memory_at(b[0], space), memory_at(c[0], space)
    (_, a_down, a_along), (_, b_down, b_along), width = a, b, c[1]
    depth, top, bottom, left, right = sides
    size, packed, longest = space.itemsize, a_along != 1, min(depth, RUN)
    lanes = VECTOR // size
    # A vector that lies in two lines of the cache takes twice as long.
    nothing = -(-place_of(space, 0) // LINE) * LINE
    zeros = memory_at(nothing, space)
    for i in range(4 * lanes):
        zeros[i] = 0
    spare = memory_at(nothing + 4 * VECTOR, space)
    surplus = nothing + (ROWS + 1) * 4 * VECTOR  # for rows that the last tile has too many
    tables = surplus + 4 * VECTOR
    places, steps = memory_at(tables, U), memory_at(tables + 8 * BLOCK, U)
    block = memory_at(tables + TABLES, space)
    panels = -(-(BLOCK * longest + GAPS) // lanes) * lanes if packed else 0
    x = block if packed else of_a
    ahead = 0 if packed or a_down > longest else ROWS * a_down
    for r in range(0, depth, RUN):
        run = min(RUN, depth - r)
        for i in range(run):
            steps[i] = i * ROWS if packed else i
        for m in range(top, bottom, BLOCK):
            count = min(BLOCK, bottom - m)
            if packed:
                pack_rows(of_a, m * a_down + r * a_along, a_down, a_along, count, run, block)
            for i in range(-(-count // ROWS) * ROWS):  # rows too many of the last tile: it again
                k = min(i, count - 1)
                laid = k // ROWS * (ROWS * run + GAP) + k % ROWS
                places[i] = laid if packed else (m + k) * a_down + r
            j, at = left, panels
            while j < right:
                vectors = panel_of(-(-(right - j) // lanes))
                wide = vectors * lanes
                some = min(wide, right - j)
                if m == top:  # and it is in the cache when it is used for the first time
                    first = r * b_down + j * b_along
                    pack_panels(of_b, first, b_down, b_along, run, some, block, at)
                for i in range(0, count, ROWS):
                    if known == PAST and j >= m + i + ROWS:
                        continue
                    begin = max(m + i - r, 0) if known == OF_FUTURE else 0
                    end = min(m + i + ROWS - r, run) if known == OF_PAST else run
                    if r > 0 and begin >= end:
                        continue
                    to, high = (m + i) * width + j, min(ROWS, count - i)
                    target, across = c[0] + to * size, width
                    start, apart = target, width
                    if r == 0:
                        start, apart = level + j * size if level else nothing, 0
                    if some < wide:
                        old = memory_at(start, spare)
                        for q in range(high):
                            copy_values(old, q * apart, spare, q * wide, some)
                        target = start = place_of(spare, 0)
                        across = apart = wide
                    few, here = max(end - begin, 0), at + begin * wide
                    put_tile(
                        *(vectors, x, places, i, steps, begin, few, ahead, block, here),
                        *(start, apart, target, across, high, surplus),
                    )
                    if some < wide:
                        for q in range(high):
                            copy_values(spare, q * wide, of_c, to + q * width, some)
                j += wide
                at += 0 if bottom - top <= BLOCK else run * wide  # kept for the rows to come
