"""Matrix products on tiles, with both factors laid out piece by piece so that caches hold them."""

import numpy as np

from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.packing import pack_panels, pack_rows
from minigen.kernels.cpu.tiles import ROWS, RUN, VECTOR, panel_of, put_tile, unset

BLOCK = 22 * ROWS  # rows at work at a time: of RUN steps, they and a panel fit the second cache

# What is known of a product whose rows and columns are places in time.
ALL, PAST, OF_PAST, OF_FUTURE = range(4)  # ALL: nothing. PAST: c[m, j] is wanted for j <= m alone.
# OF_PAST: a[m, r] counts for r <= m alone; OF_FUTURE: for r >= m.


@compiled
def multiply(a, a_down, a_along, b, b_down, b_along, depth, level, c, width, rows, columns):
    """`product` in space of its own."""
    space = space_for(b, depth, columns[1] - columns[0])
    sides = depth, *rows, *columns
    product(a, a_down, a_along, b, b_down, b_along, sides, level, c, width, ALL, space)


@compiled
def space_for(like, depth, columns):
    """What `product` works in, for products of that depth and so many columns, or smaller ones."""
    lanes, run = VECTOR // like.itemsize, min(depth, RUN)
    panels = unset(run * (-(-columns // lanes) * lanes), like)
    block, spare = unset(BLOCK * run, like), unset(ROWS * 4 * lanes, like)
    return panels, block, spare, np.empty(BLOCK, np.uint64), np.empty(run, np.uint64)


@compiled
def product(a, a_down, a_along, b, b_down, b_along, sides, level, c, width, known, space):
    """c[m, j] = level[j] + sum over r of a[m, r] * b[r, j]; sides: depth, rows, and columns.

    All are flat: a[m, r] is a[m * a_down + r * a_along], b likewise, c has rows of that width.
    level is as long as whole vectors need. A row of a is used where it is if it lies together.
    """
    depth, top, bottom, left, right = sides
    panels, block, spare, places, steps = space
    lanes, packed = VECTOR // b.itemsize, a_along != 1
    x = block if packed else a
    for r in range(0, depth, RUN):
        run = min(RUN, depth - r)
        for i in range(run):
            steps[i] = i * ROWS if packed else i
        for m in range(top, bottom, BLOCK):
            count = min(BLOCK, bottom - m)
            if packed:
                pack_rows(a, m * a_down + r * a_along, a_down, a_along, count, run, block)
            for i in range(-(-count // ROWS) * ROWS):  # rows too many of the last tile: it again
                k = min(i, count - 1)
                places[i] = i // ROWS * ROWS * run + i % ROWS if packed else (m + k) * a_down + r
            j, at = left, 0
            while j < right:
                vectors = panel_of(-(-(right - j) // lanes))
                wide = vectors * lanes
                some = min(wide, right - j)
                if m == top:  # and it is in the cache when it is used for the first time
                    first = r * b_down + j * b_along
                    pack_panels(b, first, b_down, b_along, run, some, panels[at:])
                for i in range(0, count, ROWS):
                    if known == PAST and j >= m + i + ROWS:
                        continue
                    begin = max(m + i - r, 0) if known == OF_FUTURE else 0
                    end = min(m + i + ROWS - r, run) if known == OF_PAST else run
                    if r > 0 and begin >= end:
                        continue
                    to, here, few = (m + i) * width + j, at + begin * wide, max(end - begin, 0)
                    high = min(ROWS, count - i)
                    if some < wide or high < ROWS:
                        _load(spare, wide, high, some, level, j, c, to, width, r == 0)
                        put_tile(
                            *(vectors, x, places, i, steps, begin, few, panels, here, wide),
                            *(spare, 0, wide, spare, 0, wide),
                        )
                        _store(spare, wide, high, some, c, to, width)
                    elif r == 0:
                        put_tile(
                            *(vectors, x, places, i, steps, begin, few, panels, here, wide),
                            *(level, j, 0, c, to, width),
                        )
                    else:
                        put_tile(
                            *(vectors, x, places, i, steps, begin, few, panels, here, wide),
                            *(c, to, width, c, to, width),
                        )
                j += wide
                at += run * wide


@compiled
def _load(spare, wide, high, some, level, j, c, to, width, is_first):
    """What a tile that is not whole begins with."""
    spare[: ROWS * wide] = 0
    for q in range(high):
        for i in range(some):
            spare[q * wide + i] = level[j + i] if is_first else c[to + q * width + i]


@compiled
def _store(spare, wide, high, some, c, to, width):
    for q in range(high):
        for i in range(some):
            c[to + q * width + i] = spare[q * wide + i]
