"""A bell for workers that wait in compiled code, where they hold no interpreter lock.

A worker that waits in Python takes the interpreter lock when it wakes up, and so stops the caller,
which is in Python most of the time. Waiting in compiled code on a semaphore avoids that.
"""

import ctypes
import threading
from array import array

# Indices into `Bell.numbers`, each in a cache line of its own: how often the bell has rung; how
# many workers sleep; whether they can sleep at all. Then comes the semaphore that they sleep on.
RUNG, ASLEEP, CAN_SLEEP, SEMAPHORE = range(0, 32, 8)


def _semaphores():
    """The C library's functions of unnamed semaphores (POSIX); None where there are none."""
    try:  # macOS has them by name, but does not implement them
        library = ctypes.PyDLL(None)
        begin, post = library.sem_init, library.sem_post
        library.sem_wait  # noqa: B018 - compiled code calls it
    except (AttributeError, OSError, TypeError):
        return None
    post.argtypes = [ctypes.c_void_p]
    begin.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
    trial = array("q", bytes(64))  # with a name: its memory must last until it is written to
    return (begin, post) if begin(trial.buffer_info()[0], 0, 0) == 0 else None


_functions = _semaphores()
HAS_SEMAPHORES = _functions is not None


class Bell:
    """Rings when there is a job. `numbers` is memory that compiled code reads and writes too."""

    def __init__(self):
        self.numbers, self.lock = array("q", bytes(8 * (SEMAPHORE + 8))), threading.Lock()
        self.semaphore = self.numbers.buffer_info()[0] + 8 * SEMAPHORE
        if HAS_SEMAPHORES:
            self.numbers[CAN_SLEEP] = 1
            _functions[0](self.semaphore, 0, 0)

    def rung(self) -> int:
        """How often it has rung."""
        return self.numbers[RUNG]

    def ring(self) -> None:
        """Have every worker come back from compiled code."""
        with self.lock:  # a lock is a fence: a worker about to sleep sees the new number
            self.numbers[RUNG] += 1
        self.wake(self.numbers[ASLEEP])

    def wake(self, count: int) -> int:
        """Wake up to count sleeping workers; returns how many."""
        count = min(count, self.numbers[ASLEEP])
        for _ in range(count):
            _functions[1](self.semaphore)
        return count
