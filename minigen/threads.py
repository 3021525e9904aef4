"""One pool of threads, for matrix products and kernels alike.

Work is cut into pieces such that results are the same bits for any number of threads. Pieces
release the interpreter lock. The calling thread works through them itself; threads of the pool
take some of them off it if they come in time. So nothing is waited for that the caller could have
done, and where all cores are busy it is as if there were no pool. To hand a piece over takes 50 us:
matrix products, of which a step has many, do so in compiled code, see `kernels/cpu/crew.py`.
"""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar, copy_context
from itertools import pairwise
from pathlib import PurePath
from queue import SimpleQueue
from typing import Any

from minigen.bell import Bell

PIECE = 80_000  # nanoseconds of work: to wake a thread up takes half of that
MOST_PIECES = 32


def spans(length: int, work: float, least: int = 1) -> list[slice]:
    """Slices of range(length), of `least` or more: as many as pay, a power of two.

    work is about how many nanoseconds all of it takes one thread. The number of slices is a
    matter of these alone: for sums over pieces, whose bits depend on how they are cut.
    """
    wished = max(min(work / PIECE, MOST_PIECES, length / least), 1)
    return _cut(0, length, 1 << (int(wished).bit_length() - 1))


def shares(length: int, work: float, least: int = 1) -> list[slice]:
    """Slices as those of `spans`, for what has the same bits however it is cut.

    One for one thread; else a large one for each thread, the first for the one that leads, and
    small ones between. Cores of shared machines differ in speed, often by half: who is done with
    a large one early takes more of the small ones.
    """
    count = int(max(min(_pool.threads, work / PIECE, length / least), 1))
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


class _Job:
    """Pieces of work that several threads share.

    The one that leads takes them from the front, the others from the back. So a thread often gets
    the part of an array that it got in the job before, and has it in its cache.
    """

    def __init__(self, function: Callable, pieces: Sequence[tuple]):
        self.function, self.untaken, self.count = function, deque(pieces), len(pieces)
        self.outcomes = SimpleQueue()

    def lead(self) -> None:
        """Work on it, and return when all of it is done."""
        mine, take = 0, self.untaken.popleft
        try:
            while (piece := _taken(take)) is not None:
                mine += 1
                self.function(*piece)
        finally:  # after an error too: nobody begins another piece, and those begun are ended
            while _taken(take) is not None:
                mine += 1
            outcomes = [self.outcomes.get() for _ in range(self.count - mine)]
        for error in outcomes:
            if error is not None:
                raise error

    def help(self) -> None:
        """Work on it, in a thread of the pool."""
        while (piece := _taken(self.untaken.pop)) is not None:
            error = None
            try:
                self.function(*piece)
            except BaseException as caught:  # it belongs to the thread that leads
                error = caught
            self.outcomes.put(error)


NO_JOB = _Job(print, ())


def _taken(take):
    """A piece, None if another thread has taken the last one."""
    try:
        return take()
    except IndexError:
        return None


class _Pool:
    """Threads that wait for jobs, started when they are first needed."""

    def __init__(self, threads: int):
        self.threads, self.jobs, self.lock = threads, SimpleQueue(), threading.Lock()
        self.helpers: list[threading.Thread] = []
        self.core = None  # which they keep off
        self.closed = False
        self.idle: Callable | None = None  # what they do for a while when there is no job
        self.bell = Bell()  # rings when there is one

    def run(self, job: _Job) -> None:
        """Do the job; the caller leads."""
        helpers = min(self.threads, job.count) - 1
        self._prepare(helpers)
        for _ in range(helpers):
            # A context, with NumPy's errstate in it, can be entered by one thread at a time.
            self.jobs.put((copy_context(), job))
        self.bell.ring()
        job.lead()

    def wake(self, helpers: int, awake: int, idle: Callable) -> None:
        """Have so many of the threads do what they do when there is no job."""
        if idle != self.idle and not self.closed:
            self.idle = idle
            self.bell.ring()  # for those who do something else
        self._prepare(helpers)
        awake += self.bell.wake(max(helpers - awake, 0))
        for _ in range(awake, helpers):
            self.jobs.put((copy_context(), NO_JOB))

    def _prepare(self, helpers):
        if len(self.helpers) < helpers:
            self._start(helpers)
        core = _core_of_this_thread()
        if core != self.core:
            self._keep_off(core)

    def _start(self, count):
        with self.lock:
            for i in range(len(self.helpers), 0 if self.closed else count):
                name = f"minigen-{i}"
                helper = threading.Thread(target=self._wait_for_jobs, name=name, daemon=True)
                helper.start()
                self.helpers.append(helper)
                self.core = None

    def _keep_off(self, core):
        """Have the threads of the pool run on other cores than the one that leads.

        A system that wakes one up on the leader's core lets both take turns there for a long
        time: seen for whole training steps behind a pause of 0.1 seconds.
        """
        others = os.sched_getaffinity(0) - {core}
        with suppress(OSError):  # it has ended
            for helper in self.helpers:
                os.sched_setaffinity(helper.native_id, others or {core})
        self.core = core

    def _wait_for_jobs(self):
        while (item := self.jobs.get()) is not None:
            context, job = item
            context.run(job.help)
            del item, context, job  # a thread that waits keeps no array alive
            heard = self.bell.rung()  # before the look at the queue: it rings when a job is there
            idle = self.idle
            if idle is not None and self.jobs.empty():
                with suppress(MemoryError):
                    idle(self.bell.numbers, heard)

    def close(self) -> None:
        """End the threads, each after the job that it is at."""
        with self.lock:  # who leads may have it still, and starts no more
            self.closed, self.idle = True, None
            for _ in self.helpers:
                self.jobs.put(None)
        self.bell.ring()


def _find_core():
    """A function that tells the core that a thread runs on; None where there is no such thing."""
    if not hasattr(os, "sched_setaffinity"):
        return lambda: None
    return getattr(ctypes.CDLL(None), "sched_getcpu", lambda: None)


_core_of_this_thread = _find_core()


def _default_threads():
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_pool = _Pool(_default_threads())


def run(function: Callable, pieces: Sequence[tuple]) -> None:
    """Call function(*piece) for each of pieces, several at a time."""
    if len(pieces) == 1:
        function(*pieces[0])
    else:
        _pool.run(_Job(function, pieces))


def wake(helpers: int, awake: int, idle: Callable) -> None:
    """Have so many threads call idle(bell, heard), as all do from now on when there is no job.

    awake: how many do. It may return at any time, and does when the `Bell` of these numbers rings.
    """
    _pool.wake(helpers, awake, idle)


def rouse(helpers: int) -> None:
    """Wake so many of the threads that sleep in `idle`, who have looked for work before it came."""
    _pool.bell.wake(helpers)


_unfinished: ContextVar[set | None] = ContextVar("unfinished", default=None)


class putting_off:
    """Let work be put off until the end of the with block, or a call of what it gives."""

    def __enter__(self) -> Callable[[], None]:
        self.unfinished: set[Callable[[], None]] = set()
        self.token = _unfinished.set(self.unfinished)
        return self._finish

    def __exit__(self, *_):
        _unfinished.reset(self.token)
        self._finish()

    def _finish(self):
        while self.unfinished:
            self.unfinished.pop()()


def put_off(finish: Callable[[], None]) -> None:
    """Call finish by the end of the `putting_off` block that runs."""
    _unfinished.get().add(finish)


def call(function: Callable, *args: Any) -> None:
    """A piece that brings its function, for `run` to do several kinds of work as one job."""
    function(*args)


def set_num_threads(n: int) -> None:
    """Compute on n threads, the calling one among them; results are the same bits for any n.

    The default is OMP_NUM_THREADS or the number of cores. NumPy's own BLAS is held to one thread
    from minigen's first product on, for the pool does what its threads did.
    """
    global _pool
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"set_num_threads: n must be a whole number of at least 1, got {n!r}")
    old, _pool = _pool, _Pool(n)
    old.close()


def get_num_threads() -> int:
    """The number of threads that minigen computes on."""
    return _pool.threads


def hold_blas() -> None:
    """Hold NumPy's BLAS to one thread; that of another package, as PyTorch's, is left alone.

    Two pools whose threads spin while they wait for work take each other's cores, and are many
    times slower than either.
    """
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    folders = [set(PurePath(lib.filepath).parts) for lib in found]
    own = [lib for lib, names in zip(found, folders) if names & {"numpy", "numpy.libs"}]
    others = [lib for lib, names in zip(found, folders) if not names & {"torch", "scipy.libs"}]
    for lib in own or others:  # where NumPy brings none of its own, it is the system's
        lib.set_num_threads(1)


def _after_fork():
    global _pool
    _pool = _Pool(_pool.threads)  # a child has the memory of the parent, and not its threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
