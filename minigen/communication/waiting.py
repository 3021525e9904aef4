"""Waiting for other ranks: a rank that waits leaves its core to others."""

import os
import time
from collections.abc import Callable

# A wait first only yields its turn, since ranks in step arrive within microseconds, and then
# sleeps, at first for 20 microseconds and at most for 1 millisecond. To yield takes half a
# microsecond; time.sleep(0) takes 56, since Linux rounds the end of a sleep up.
YIELDS, SHORTEST, LONGEST = 200, 20e-6, 1e-3
give_way = getattr(os, "sched_yield", lambda: time.sleep(0))


def wait(done: Callable[[], bool]) -> None:
    """Return as soon as done() is true."""
    for _ in range(YIELDS):
        if done():
            return
        give_way()
    pause = SHORTEST
    while not done():
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST)
