"""Arrays that all ranks read and write in turn, at any time: one-sided communication of MPI.

The memory is that of rank 0. Where all ranks are on one machine it is shared, and each rank works
in place; else a rank that has the lock gets a copy (MPI_Get), and puts it back (MPI_Put).

The lock is a ticket lock (Mellor-Crummey and Scott 1991, "Algorithms for scalable synchronization
on shared-memory multiprocessors"): a rank takes the next number and waits until it is served, so
that ranks come in the order in which they asked. MPI's own lock (MPI_Win_lock) spins without sleep,
and in MPICH the memory of a rank that computes answers only when that rank calls MPI again.
"""

import atexit
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigen.communication.waiting import wait

NEXT, SERVED, ARRAYS = 0, 64, 128  # bytes where these begin: each on a cache line of its own
ALIGNMENT = 64  # bytes of a cache line, and of the widest vector of a CPU
POLLING = 2e-4  # seconds between two calls of MPI by rank 0's thread; a call takes microseconds


class Window:
    """Arrays of the shapes and dtypes of `like`, zero at first; here of one process alone."""

    def __init__(self, like: Sequence[np.ndarray]):
        self.arrays = [np.zeros(x.shape, x.dtype) for x in like]

    @contextmanager
    def locked(self) -> Iterator[list[np.ndarray]]:
        """A context in which this rank alone may read and write `arrays`, which it yields.

        What is written is not passed on if the context ends with an exception and ranks are on
        several machines.
        """
        yield self.arrays


class MpiWindow(Window):
    """Arrays that the ranks of comm share; all ranks make it together.

    on_one_machine: all of them can share memory.
    """

    def __init__(self, comm: Any, like: Sequence[np.ndarray], on_one_machine: bool):
        from mpi4py import MPI

        ends = np.cumsum([-(-x.nbytes // ALIGNMENT) * ALIGNMENT for x in like]) + ARRAYS
        size = int(ends[-1]) if comm.Get_rank() == 0 else 0
        wait(comm.Ibarrier().Test)  # so that the calls below, which spin, are short
        if on_one_machine:
            self.window = MPI.Win.Allocate_shared(size, 1, comm=comm)
            memory = np.frombuffer(self.window.Shared_query(0)[0], np.uint8)
            self.copy = None
        else:
            self.window = MPI.Win.Allocate(size, 1, comm=comm)
            memory = np.zeros(int(ends[-1]), np.uint8)
            self.copy = memory[ARRAYS:]
        starts = [ARRAYS, *ends[:-1].tolist()]
        self.arrays = [
            memory[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
            for start, x in zip(starts, like)
        ]
        if comm.Get_rank() == 0:
            np.frombuffer(self.window.tomemory(), np.uint8)[:] = 0
        wait(comm.Ibarrier().Test)
        self.sum, self.result = MPI.SUM, np.zeros(1, np.int64)
        self.window.Lock_all(MPI.MODE_NOCHECK)  # MPI's word for: accesses may begin

    @contextmanager
    def locked(self) -> Iterator[list[np.ndarray]]:
        ticket = self._add(NEXT, 1)
        wait(lambda: self._add(SERVED, 0) == ticket)
        try:
            if self.copy is not None:
                self.window.Get(self.copy, 0, ARRAYS)
                self.window.Flush(0)
            self.window.Sync()
            yield self.arrays
            self.window.Sync()
            if self.copy is not None:
                self.window.Put(self.copy, 0, ARRAYS)
                self.window.Flush(0)
        finally:
            self._add(SERVED, 1)

    def _add(self, position: int, value: int) -> int:
        """Add value to a number of the lock, and return what it was before, in one."""
        self.window.Fetch_and_op(np.int64(value).reshape(1), self.result, 0, position, self.sum)
        self.window.Flush(0)
        return int(self.result[0])


def answer(comm: Any) -> None:
    """Have rank 0's memory answer others while it computes, by a thread; all ranks call this.

    Without a network card that reads memory by itself, MPI copies for others only when called. At
    the end of the process rank 0 waits for the others, which may still read its memory.
    """
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(POLLING):
            comm.Iprobe()

    def end() -> None:
        wait(comm.Ibarrier().Test)
        ended.set()

    if comm.Get_rank() == 0:
        threading.Thread(target=poll, name="minigen-windows", daemon=True).start()
    atexit.register(end)
