"""Which rows of a batch a rank works on."""

from typing import NamedTuple


class Rows(NamedTuple):
    """The rows start ... stop - 1 of a batch of `total` rows; weight is their part of it.

    A rank for which no row is left works on the first row with the weight 0, so that no array is
    empty and nothing divides by zero.
    """

    start: int
    stop: int
    total: int
    weight: float


def rows_of(total: int, rank: int, size: int) -> Rows:
    """The rows of a rank of `size`: parts in the order of ranks, whose lengths differ by at most 1.

    Raises ValueError for a batch without rows.
    """
    if total < 1:
        raise ValueError(f"a batch has at least one row, got {total}")
    start, stop = total * rank // size, total * (rank + 1) // size
    if start == stop:
        return Rows(0, 1, total, 0.0)
    return Rows(start, stop, total, (stop - start) / total)


def own_draws(rows: Rows, rank: int, size: int) -> Rows:
    """Rows of draws for a part of a batch, that no other rank draws for any part of this batch.

    A rank that may have any part of a batch takes as many rows of the draw from a range of its own,
    so that two ranks whose generators are in the same state never draw the same noise.
    """
    longest, n = -(-rows.total // size), rows.stop - rows.start
    return Rows(rank * longest, rank * longest + n, size * longest, rows.weight)
