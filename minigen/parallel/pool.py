"""One pool of threads, for matrix products and kernels alike.

The caller of a job takes pieces of it itself; workers of the pool take others if they are awake
in time. So the caller never waits for a piece that it could have done, and where all cores are
busy it is as if there were no pool. Pieces release the interpreter lock. To wake a worker up
takes 50 us: matrix products, of which a step has many, are handed over in compiled code, where
workers wait for them; see `kernels/cpu/scheduler.py`.
"""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from minigen.parallel.bell import Bell


class Job:
    """Pieces of work that several threads share: function(*piece) for each of pieces.

    The caller takes pieces from the front, workers from the back. So a thread often gets the part
    of an array that it got in the job before, and has it in its cache.
    """

    def __init__(self, function: Callable, pieces: Sequence[tuple]):
        self.function, self.untaken, self.count = function, deque(pieces), len(pieces)
        self.outcomes = SimpleQueue()  # None or an error, for each piece that a worker took

    def run_in_caller(self) -> None:
        """Take pieces, and return when all of the job is done."""
        taken, take = 0, self.untaken.popleft
        try:
            while (piece := _next_piece(take)) is not None:
                taken += 1
                self.function(*piece)
        finally:  # after an error nobody begins another piece, but those begun are waited for
            while _next_piece(take) is not None:
                taken += 1
            outcomes = [self.outcomes.get() for _ in range(self.count - taken)]
        for error in outcomes:
            if error is not None:
                raise error

    def run_in_worker(self) -> None:
        """Take pieces until none is left."""
        while (piece := _next_piece(self.untaken.pop)) is not None:
            error = None
            try:
                self.function(*piece)
            except BaseException as caught:  # it is the caller's to raise
                error = caught
            self.outcomes.put(error)


EMPTY_JOB = Job(print, ())


def _next_piece(take):
    """A piece; None if another thread has taken the last one."""
    try:
        return take()
    except IndexError:
        return None


class Pool:
    """Workers that wait for jobs, started when they are first needed."""

    def __init__(self, threads: int):
        self.threads = threads  # the caller and the workers together
        self.workers: list[threading.Thread] = []
        self.jobs, self.lock = SimpleQueue(), threading.Lock()
        self.avoided_core = None
        self.closed = False
        self.idle: Callable | None = None  # what workers call when there is no job
        self.bell = Bell()  # ends a call of idle when there is a job

    def run(self, job: Job) -> None:
        """Do the job, in the calling thread and in workers."""
        workers = min(self.threads, job.count) - 1
        self._prepare(workers)
        for _ in range(workers):
            # A context, with NumPy's errstate in it, can be entered by one thread at a time.
            self.jobs.put((copy_context(), job))
        self.bell.ring()
        job.run_in_caller()

    def wake(self, workers: int, awake: int, idle: Callable) -> None:
        """Have that many workers in a call of idle; `awake` of them are there and not asleep."""
        if idle != self.idle and not self.closed:
            self.idle = idle
            self.bell.ring()  # ends calls of another idle
        self._prepare(workers)
        awake += self.bell.wake(max(workers - awake, 0))
        for _ in range(awake, workers):
            self.jobs.put((copy_context(), EMPTY_JOB))

    def _prepare(self, workers):
        if len(self.workers) < workers:
            self._start(workers)
        core = _current_core()
        if core != self.avoided_core:
            self._avoid(core)

    def _start(self, count):
        with self.lock:
            for i in range(len(self.workers), 0 if self.closed else count):
                name = f"minigen-{i}"
                worker = threading.Thread(target=self._work, name=name, daemon=True)
                worker.start()
                self.workers.append(worker)
                self.avoided_core = None

    def _avoid(self, core):
        """Have the workers run on other cores than the caller.

        A system that wakes a worker on the caller's core lets both take turns there for a long
        time: seen for whole training steps after a pause of 0.1 seconds.
        """
        others = os.sched_getaffinity(0) - {core}
        with suppress(OSError):  # the thread has ended
            for worker in self.workers:
                os.sched_setaffinity(worker.native_id, others or {core})
        self.avoided_core = core

    def _work(self):
        """What a worker runs: jobs in turn, idle between them; None in the queue ends it."""
        while (item := self.jobs.get()) is not None:
            context, job = item
            context.run(job.run_in_worker)
            del item, context, job  # a worker that waits keeps no array alive
            rung = self.bell.rung()  # read before the queue is: a job is put in, then it rings
            idle = self.idle
            if idle is not None and self.jobs.empty():
                with suppress(MemoryError):
                    idle(self.bell.numbers, rung)

    def close(self) -> None:
        """End the workers, each after its current job."""
        with self.lock:  # a caller may hold this pool still, and starts no more workers
            self.closed, self.idle = True, None
            for _ in self.workers:
                self.jobs.put(None)
        self.bell.ring()


def _find_core():
    """A function that returns the core that a thread runs on; None where systems do not tell."""
    if not hasattr(os, "sched_setaffinity"):
        return lambda: None
    return getattr(ctypes.CDLL(None), "sched_getcpu", lambda: None)


_current_core = _find_core()


def _default_threads():
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_pool = Pool(_default_threads())


def run(function: Callable, pieces: Sequence[tuple]) -> None:
    """Call function(*piece) for each of pieces, several at a time."""
    if len(pieces) == 1:
        function(*pieces[0])
    else:
        _pool.run(Job(function, pieces))


def call(function: Callable, *args: Any) -> None:
    """function(*args): so a job may have pieces of several kinds, each with its function."""
    function(*args)


def wake(workers: int, awake: int, idle: Callable) -> None:
    """Have that many workers in a call of idle(bell, rung), of whom `awake` are there already.

    From now on idle is what all workers call when there is no job. It may return at any time, and
    must when the number of rings in bell, the numbers of a `Bell`, is no longer rung.
    """
    _pool.wake(workers, awake, idle)


def rouse(workers: int) -> None:
    """Wake up to that many workers that sleep in idle: they looked for work before it came."""
    _pool.bell.wake(workers)


def set_num_threads(n: int) -> None:
    """Compute on n threads, the calling one among them; results are the same bits for any n.

    The default is OMP_NUM_THREADS or the number of cores. NumPy's own BLAS is held to one thread
    from minigen's first product on: the pool does what its threads did.
    """
    global _pool
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"set_num_threads: n must be a whole number of at least 1, got {n!r}")
    old, _pool = _pool, Pool(n)
    old.close()


def get_num_threads() -> int:
    """The number of threads that minigen computes on."""
    return _pool.threads


def _after_fork():
    global _pool
    _pool = Pool(_pool.threads)  # a child has the memory of the parent, and not its threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
