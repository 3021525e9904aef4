"""Cutting a range into pieces of work, for `pool.run`.

Work is measured in nanoseconds of one thread. A piece must be worth waking a worker up for.
"""

from itertools import pairwise

from minigen.parallel.pool import get_num_threads

PIECE = 80_000  # nanoseconds: twice what it takes to wake a worker up, measured on two cores
MOST_PIECES = 32


def spans(length: int, work: float, least: int = 1) -> list[slice]:
    """Slices of range(length), a power of two of them, each at least `least` long.

    work: nanoseconds that the whole range takes one thread. The number of slices depends on
    these arguments alone, not on the number of threads: for sums over pieces, whose bits depend
    on how the range is cut.
    """
    wished = max(min(work / PIECE, MOST_PIECES, length / least), 1)
    return _cut(0, length, 1 << (int(wished).bit_length() - 1))


def shares(length: int, work: float, least: int = 1) -> list[slice]:
    """Slices as those of `spans`, for work that has the same bits however it is cut.

    One slice for one thread. Else one large slice for each thread, the caller's first, and small
    ones between: cores of shared machines differ in speed, often by half, and a thread that is
    done with its large slice early takes more of the small ones.
    """
    count = int(max(min(get_num_threads(), work / PIECE, length / least), 1))
    if count == 1:
        return [slice(0, length)]
    if length < 8 * count * least:
        return _cut(0, length, count)
    large = length * 3 // (4 * count)
    last = length - (count - 1) * large
    return [slice(0, large), *_cut(large, last, count), *_cut(last, length, count - 1)]


def _cut(first, last, count):
    edges = [first + (last - first) * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
