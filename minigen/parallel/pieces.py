"""Cutting a range, of rows or heads or columns, into chunks: one for each task of `pool.run`.

The work of a range is measured in nanoseconds of one thread. A chunk must be worth the time that
it takes to wake a worker up.
"""

from itertools import pairwise

from minigen.parallel.pool import get_num_threads

PIECE = 80_000  # nanoseconds: twice what it takes to wake a worker up, measured on two cores
MAX_CHUNKS = 32


def spans(length: int, work: float, least: int = 1) -> list[slice]:
    """Slices of range(length) for sums: a power of two of them, each at least `least` long.

    work: nanoseconds that the whole range takes one thread. The bits of a sum depend on how its
    range is cut. So the slices depend on these arguments only, not on the number of threads.
    """
    wanted = max(min(work / PIECE, MAX_CHUNKS, length / least), 1)
    return _cut(0, length, 1 << (int(wanted).bit_length() - 1))


def shares(length: int, work: float, least: int = 1) -> list[slice]:
    """Slices as those of `spans`, for work whose results have the same bits however it is cut.

    One thread gets one slice. Otherwise each thread gets a large slice, the caller the first one,
    and between them are small slices. Cores of shared machines differ in speed, often by half: a
    thread that finishes its large slice early takes more of the small ones.
    """
    threads = int(max(min(get_num_threads(), work / PIECE, length / least), 1))
    if threads == 1:
        return [slice(0, length)]
    if length < 8 * threads * least:
        return _cut(0, length, threads)
    large = length * 3 // (4 * threads)
    last = length - (threads - 1) * large
    return [slice(0, large), *_cut(large, last, threads), *_cut(last, length, threads - 1)]


def _cut(first, last, count):
    """range(first, last) as count slices whose lengths differ by at most 1."""
    edges = [first + (last - first) * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
