"""Waiting for other ranks: a rank that waits leaves its core to others."""

import time
from collections.abc import Callable

# A wait first only yields its turn, since ranks in step arrive within microseconds, and then
# sleeps, at first for 20 microseconds and at most for 1 millisecond.
YIELDS, SHORTEST, LONGEST = 50, 20e-6, 1e-3


def wait(done: Callable[[], bool]) -> None:
    """Return as soon as done() is true."""
    for _ in range(YIELDS):
        if done():
            return
        time.sleep(0)
    pause = SHORTEST
    while not done():
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST)
