"""Sums over the ranks of one machine, through memory that all of them can read.

MPI allocates a segment for each rank in one shared window (Hoefler et al. 2013, "MPI + MPI"). A
rank writes an array into its own segment, then a number that says so. When all numbers are there,
each rank adds up the arrays itself, in the order of ranks: the sums have the same bits on all
ranks, whatever the order in which they arrive. A sum over MPI would copy each array into and out of
the buffers of messages; here it is read once where it lies.

`Segments.fence` stands between an array and its number: other ranks must not see the number first.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.backend.arrays import Array
from minigen.communication.waiting import wait
from minigen.communication.world import Reductions

LINE = 64  # bytes of a cache line: ranks write to lines of their own
CHUNK = 32768  # bytes that are added up at a time: with those of the ranks they fit a cache
ROOM = 1 << 18  # bytes of the arrays that SharedSums adds up in one turn


class Segments:
    """A segment of `nbytes` bytes for each rank of a communicator on one machine, all zero."""

    def __init__(self, comm: Any, nbytes: int):
        from mpi4py import MPI

        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        wait(comm.Ibarrier().Test)  # so that the calls below, which spin, are short
        window = MPI.Win.Allocate_shared(max(nbytes, LINE), 1, comm=comm)
        window.Lock_all()
        memories = [window.Shared_query(rank)[0] for rank in range(self.size)]
        self.segments = [np.frombuffer(memory, np.uint8) for memory in memories]
        self.segments[self.rank][:] = 0
        self.fence = window.Sync
        self.fence()
        wait(comm.Ibarrier().Test)
        self.fence()

    def arrays(self, start: int, length: int, dtype: Any) -> list[np.ndarray]:
        """For each rank the array of that length that begins at a byte of its segment."""
        stop = start + length * np.dtype(dtype).itemsize
        return [segment[start:stop].view(dtype) for segment in self.segments]


class SharedReductions(Reductions):
    """Sums of slots that lie in a shared window.

    Two numbers of each rank belong to a slot: how often it has been filled, and how often its
    owner has read all ranks' slots. A slot is free when all ranks have read what was in it.
    """

    def __init__(self, comm: Any, like: Sequence[Array]):
        starts, stop = [], lines(16 * len(like))
        for x in like:
            starts.append(stop)
            stop += lines(x.nbytes)
        self.memory = memory = Segments(comm, stop)
        numbers = [x.reshape(2, -1) for x in memory.arrays(0, 2 * len(like), np.int64)]
        self.filled, self.read = [x[0] for x in numbers], [x[1] for x in numbers]
        self.ranks_slots = [
            [part.reshape(x.shape) for part in memory.arrays(start, x.size, x.dtype)]
            for start, x in zip(starts, like)
        ]
        self.slots = [slots[memory.rank] for slots in self.ranks_slots]
        self.turns = [0] * len(like)  # how often this rank has filled each slot
        self.started: dict[int, None] = {}  # in this order, not yet added up
        self.sums: dict[int, np.ndarray] = {}

    def ready(self, i: int) -> None:
        turn = self.turns[i]
        wait(lambda: all(int(numbers[i]) >= turn for numbers in self.read))

    def start(self, i: int) -> None:
        self.turns[i] += 1
        self.started[i] = None
        self.memory.fence()
        self.filled[self.memory.rank][i] = self.turns[i]

    def poll(self) -> None:
        for i in self.started:
            self._add_up(i)
            return

    def finish(self, i: int) -> np.ndarray:
        if i not in self.sums:
            wait(lambda: self._add_up(i))
        return self.sums.pop(i)

    def _add_up(self, i):
        """Whether all ranks have filled slot i; then it is added up."""
        turn = self.turns[i]
        if not all(int(numbers[i]) >= turn for numbers in self.filled):
            return False
        self.memory.fence()
        self.sums[i] = in_order(np.add, self.ranks_slots[i])
        self.memory.fence()
        self.read[self.memory.rank][i] = turn
        del self.started[i]
        return True


class SharedSums:
    """Sums of arrays at once, as `World.all_reduce` makes them.

    A segment has room for two turns. A rank that begins turn t + 2 has seen that all ranks have
    begun turn t + 1, so that they have read turn t, whose room it writes to.
    """

    def __init__(self, comm: Any):
        self.memory, self.turn = Segments(comm, LINE + 2 * ROOM), 0
        self.begun = self.memory.arrays(0, 1, np.int64)

    def reduce(self, x: np.ndarray, operation: np.ufunc) -> np.ndarray:
        """A new array: the operation over the arrays of all ranks, in the order of ranks."""
        x = np.asarray(x, order="C")
        if x.nbytes <= ROOM:
            return self._reduce(x, operation)
        length, flat = ROOM // x.itemsize, x.reshape(-1)
        parts = [flat[i : i + length] for i in range(0, x.size, length)]
        return np.concatenate([self._reduce(part, operation) for part in parts]).reshape(x.shape)

    def _reduce(self, x, operation):
        memory, begun = self.memory, self.begun
        self.turn += 1
        turn, start = self.turn, LINE + ROOM * (self.turn % 2)
        arrays = [part.reshape(x.shape) for part in memory.arrays(start, x.size, x.dtype)]
        arrays[memory.rank][...] = x
        memory.fence()
        begun[memory.rank][0] = turn
        wait(lambda: all(int(number[0]) >= turn for number in begun))
        memory.fence()
        return in_order(operation, arrays)


def in_order(operation: np.ufunc, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """A new array: operation(operation(arrays[0], arrays[1]), arrays[2]) and so on.

    The plain way reads and writes the result once for each array; in chunks it stays in the cache.
    """
    if len(arrays) == 1:
        return arrays[0].copy()
    if len(arrays) == 2:
        return operation(*arrays, out=np.empty_like(arrays[0]))
    first, second, *others = [x.reshape(-1) for x in arrays]
    out, length = np.empty_like(first), max(CHUNK // first.itemsize, 1)
    for i in range(0, first.size, length):
        part = slice(i, i + length)
        operation(first[part], second[part], out=out[part])
        for other in others:
            operation(out[part], other[part], out=out[part])
    return out.reshape(arrays[0].shape)


def lines(nbytes: int) -> int:
    """nbytes, rounded up to whole cache lines."""
    return LINE * math.ceil(nbytes / LINE)
