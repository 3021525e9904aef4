"""An event count that wakes workers which wait in compiled code, without the interpreter lock.

A worker that waited in Python would take the interpreter lock when it wakes up, and so stop the
caller, which runs Python most of the time. Waiting in compiled code on a semaphore avoids that.
Event counts: Reed and Kanodia, Synchronization with Eventcounts and Sequencers, CACM 22 (1979).
"""

import ctypes
import threading
from array import array

# Indices into `EventCount.state`, each in a cache line of its own: the number of events so far;
# the number of workers that sleep; whether they can sleep at all. Then comes the semaphore.
EVENTS, ASLEEP, CAN_SLEEP, SEMAPHORE = range(0, 32, 8)


def _semaphore_functions():
    """sem_init and sem_post of the C library (POSIX); None where they do not work."""
    try:  # macOS has these functions, but sem_init fails
        library = ctypes.PyDLL(None)
        begin, post = library.sem_init, library.sem_post
        library.sem_wait  # noqa: B018 - compiled code calls it
    except (AttributeError, OSError, TypeError):
        return None
    post.argtypes = [ctypes.c_void_p]
    begin.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
    trial = array("q", bytes(64))  # with a name: sem_init writes to its memory
    return (begin, post) if begin(trial.buffer_info()[0], 0, 0) == 0 else None


_functions = _semaphore_functions()
HAS_SEMAPHORES = _functions is not None


class EventCount:
    """A counter of events, new jobs of a pool, and a semaphore that its workers sleep on.

    A worker reads the count before it waits, and stops waiting when the count has changed. Compiled
    code reads and writes `state`, too.
    """

    def __init__(self):
        self.state, self.lock = array("q", bytes(8 * (SEMAPHORE + 8))), threading.Lock()
        self.semaphore = self.state.buffer_info()[0] + 8 * SEMAPHORE
        if HAS_SEMAPHORES:
            self.state[CAN_SLEEP] = 1
            _functions[0](self.semaphore, 0, 0)

    def read(self) -> int:
        """The number of events so far."""
        return self.state[EVENTS]

    def advance(self) -> None:
        """Count an event, and wake all workers: they return from compiled code."""
        with self.lock:  # a lock is a fence: a worker about to sleep sees the new number
            self.state[EVENTS] += 1
        self.wake(self.state[ASLEEP])

    def wake(self, workers: int) -> int:
        """Wake up to that many sleeping workers; returns how many."""
        workers = min(workers, self.state[ASLEEP])
        for _ in range(workers):
            _functions[1](self.semaphore)
        return workers
