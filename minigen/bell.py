"""A bell for threads that wait in compiled code, where they need no lock of the interpreter.

Who wakes up with that lock to ask for takes it from the thread that leads, as soon as that lets
go of it for a kernel; and a leader that has slept for its lock often wakes up on the core of the
one that gave it back, where both then take turns for milliseconds.
"""

import ctypes
import threading
from array import array

# The numbers of a bell, each in a cache line of its own: how often it has rung; how many threads
# sleep until it rings or somebody wakes them; whether they can. Then what they sleep at.
RUNG, ASLEEP, CAN_SLEEP, SEMAPHORE = range(0, 32, 8)


def _semaphores():
    """The C library's functions of unnamed semaphores (POSIX); None where there are none."""
    try:  # which macOS has by name, but does not implement
        library = ctypes.PyDLL(None)
        begin, post = library.sem_init, library.sem_post
        library.sem_wait  # noqa: B018 - which compiled code calls
    except (AttributeError, OSError, TypeError):
        return None
    post.argtypes = [ctypes.c_void_p]
    begin.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
    trial = array("q", bytes(64))  # with a name: its memory must last until it is written to
    return (begin, post) if begin(trial.buffer_info()[0], 0, 0) == 0 else None


_functions = _semaphores()
HAS_SEMAPHORES = _functions is not None


class Bell:
    """What rings when there is a job. `numbers` is shared with compiled code."""

    def __init__(self):
        self.numbers, self.lock = array("q", bytes(8 * (SEMAPHORE + 8))), threading.Lock()
        self.place = self.numbers.buffer_info()[0] + 8 * SEMAPHORE
        if HAS_SEMAPHORES:
            self.numbers[CAN_SLEEP] = 1
            _functions[0](self.place, 0, 0)

    def rung(self) -> int:
        """How often it has rung."""
        return self.numbers[RUNG]

    def ring(self) -> None:
        """Have all who wait in compiled code come back from there."""
        with self.lock:  # and who falls asleep meanwhile sees the new number: a lock is a fence
            self.numbers[RUNG] += 1
        self.wake(self.numbers[ASLEEP])

    def wake(self, count: int) -> int:
        """Wake up to so many of those who sleep; how many."""
        count = min(count, self.numbers[ASLEEP])
        for _ in range(count):
            _functions[1](self.place)
        return count
