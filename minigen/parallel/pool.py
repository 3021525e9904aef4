"""One pool of threads, for matrix products and kernels alike.

A job is a list of tasks. The caller computes tasks of its job itself; workers of the pool take
others if they are awake in time. So the caller never waits for a task that it could have computed,
and if all cores are busy it is as fast as without a pool. Tasks release the interpreter lock.

To wake a worker up takes 50 us. A training step has many matrix products: workers wait for those
in compiled code, see `kernels/cpu/scheduler.py`.
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

from minigen.parallel.bell import EventCount


class Job:
    """Tasks for several threads: function(*task) for each task, a tuple of arguments.

    The caller takes tasks from the front, workers from the back. So a thread often gets the part
    of an array that it got in the job before, and has it in its cache.
    """

    def __init__(self, function: Callable, tasks: Sequence[tuple]):
        self.function, self.pending, self.size = function, deque(tasks), len(tasks)
        self.outcomes = SimpleQueue()  # None or an error, for each task that a worker took

    def run_in_caller(self) -> None:
        """Compute tasks, and return when all tasks of the job are done."""
        taken, take = 0, self.pending.popleft
        try:
            while (task := _next_task(take)) is not None:
                taken += 1
                self.function(*task)
        finally:  # after an error no other task is begun, but the begun ones are waited for
            while _next_task(take) is not None:
                taken += 1
            outcomes = [self.outcomes.get() for _ in range(self.size - taken)]
        for error in outcomes:
            if error is not None:
                raise error

    def run_in_worker(self) -> None:
        """Compute tasks until none is left."""
        while (task := _next_task(self.pending.pop)) is not None:
            error = None
            try:
                self.function(*task)
            except BaseException as caught:  # the caller raises it
                error = caught
            self.outcomes.put(error)


EMPTY_JOB = Job(print, ())


def _next_task(take):
    """A task; None if another thread has taken the last one."""
    try:
        return take()
    except IndexError:
        return None


class Pool:
    """Worker threads that wait for jobs; they are started when they are first needed."""

    def __init__(self, threads: int):
        self.threads = threads  # the caller and the workers together
        self.workers: list[threading.Thread] = []
        self.jobs, self.lock = SimpleQueue(), threading.Lock()
        self.avoided_core = None
        self.closed = False
        self.idle: Callable | None = None  # a function that workers call while there is no job
        self.events = EventCount()  # it is advanced when there is a job: then idle returns

    def run(self, job: Job) -> None:
        """Compute the job, in the calling thread and in workers."""
        workers = min(self.threads, job.size) - 1
        self._prepare(workers)
        for _ in range(workers):
            # A copy for each worker: it has NumPy's errstate, and only one thread can enter it.
            self.jobs.put((copy_context(), job))
        self.events.advance()
        job.run_in_caller()

    def wake(self, workers: int, awake: int, idle: Callable) -> None:
        """Have that many workers run idle and not sleep; `awake` of them already do."""
        if idle != self.idle and not self.closed:
            self.idle = idle
            self.events.advance()  # calls of another idle return
        self._prepare(workers)
        awake += self.events.wake(max(workers - awake, 0))
        for _ in range(awake, workers):
            self.jobs.put((copy_context(), EMPTY_JOB))

    def _prepare(self, workers):
        """Start workers if there are fewer, and keep all of them off the caller's core."""
        if len(self.workers) < workers:
            self._start(workers)
        core = _current_core()
        if core != self.avoided_core:
            self._avoid(core)

    def _start(self, workers):
        """Start workers until there are that many; a closed pool starts none."""
        with self.lock:
            for i in range(len(self.workers), 0 if self.closed else workers):
                name = f"minigen-{i}"
                worker = threading.Thread(target=self._work, name=name, daemon=True)
                worker.start()
                self.workers.append(worker)
                self.avoided_core = None

    def _avoid(self, core):
        """Have the workers run on other cores than the caller.

        A system that wakes a worker on the caller's core lets both take turns on it for a long
        time: for whole training steps, as was seen after a pause of 0.1 seconds.
        """
        others = os.sched_getaffinity(0) - {core}
        with suppress(OSError):  # the thread has ended
            for worker in self.workers:
                os.sched_setaffinity(worker.native_id, others or {core})
        self.avoided_core = core

    def _work(self):
        """The main loop of a worker: jobs in turn, idle between them; None in the queue ends it."""
        while (item := self.jobs.get()) is not None:
            context, job = item
            context.run(job.run_in_worker)
            del item, context, job  # so that a waiting worker keeps no array alive
            # The count is read before the queue: a caller first puts a job in, then advances it.
            seen = self.events.read()
            idle = self.idle
            if idle is not None and self.jobs.empty():
                with suppress(MemoryError):
                    idle(self.events.state, seen)

    def close(self) -> None:
        """End each worker after its current job."""
        with self.lock:  # a caller may still use this pool: it must start no more workers
            self.closed, self.idle = True, None
            for _ in self.workers:
                self.jobs.put(None)
        self.events.advance()


def _find_core():
    """A function that returns the calling thread's core, or None where the system cannot tell."""
    if not hasattr(os, "sched_setaffinity"):
        return lambda: None
    return getattr(ctypes.CDLL(None), "sched_getcpu", lambda: None)


_current_core = _find_core()


def _default_threads():
    """OMP_NUM_THREADS; without it, the number of cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_pool = Pool(_default_threads())


def run(function: Callable, tasks: Sequence[tuple]) -> None:
    """Call function(*task) for each task, on several threads; returns when all are done.

    An error in a task is raised here, and tasks that have not begun are dropped.
    """
    if len(tasks) == 1:
        function(*tasks[0])
    else:
        _pool.run(Job(function, tasks))


def call(function: Callable, *args: Any) -> None:
    """function(*args). `run(call, tasks)` takes tasks that each name their own function."""
    function(*args)


def wake(workers: int, awake: int, idle: Callable) -> None:
    """Have that many workers run idle(events, seen) and not sleep; `awake` of them already do.

    From now on all workers call idle while there is no job. events is the state of an
    `EventCount`. idle may return at any time, and must when the number of events is no longer seen.
    """
    _pool.wake(workers, awake, idle)


def wake_sleeping(workers: int) -> None:
    """Wake up to that many workers that sleep in idle: they looked for work before it came."""
    _pool.events.wake(workers)


def set_num_threads(n: int) -> None:
    """Compute on n threads, including the calling one; results have the same bits for any n.

    The default is OMP_NUM_THREADS or the number of cores. NumPy's own BLAS is limited to one thread
    from minigen's first product on: the pool replaces its threads.
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
    """Give a forked child a new pool: it has the memory of its parent, but not its threads."""
    global _pool
    _pool = Pool(_pool.threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
