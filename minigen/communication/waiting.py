"""Waiting for other ranks: a rank that waits leaves its core to others and says that it waits."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from minigen.communication.board import POLLS, Board, Row

# A wait first only yields its turn, since ranks in step arrive within microseconds. Then it sleeps,
# at first for 20 microseconds and at most for 1 millisecond; after a second without result for 1 %
# of the time so far, up to 20 milliseconds. To yield takes half a microsecond; time.sleep(0) takes
# 56, since Linux rounds the end of a sleep up.
YIELDS, SHORTEST, LONG, LONGEST = 200, 20e-6, 1e-3, 20e-3
give_way = getattr(os, "sched_yield", lambda: time.sleep(0))

_on_board: tuple[Board, Row] | None = None  # of this rank; None for a process alone


def use_board(board: Board, row: Row) -> None:
    """Show the waits of this rank on the board, and end it in a wait once the board says so."""
    global _on_board
    _on_board = board, row


def wait(done: Callable[[], bool]) -> None:
    """Return as soon as done() is true."""
    for _ in range(YIELDS):
        if done():
            return
        give_way()
    if _on_board is None:
        sleep_until(done)
        return
    board, row = _on_board
    row.begin_wait()

    def ended() -> bool:
        row.numbers[POLLS] += 1
        return done() or end_if_asked(board)

    try:
        sleep_until(ended)
    finally:
        row.end_wait()


def sleep_until(done: Callable[[], bool]) -> None:
    """Return once done() is true, and leave the core to others between the questions."""
    pause, start = SHORTEST, time.monotonic()
    while not done():
        time.sleep(pause)
        slept = time.monotonic() - start
        pause = min(1.5 * pause, max(LONG, min(slept / 100, LONGEST)))


def end_if_asked(board: Board) -> bool:
    """End this process if all are to end; False if not."""
    if board.end is not None:
        end_process(board.end)
    return False


def end_process(code: int) -> None:
    """End this process at once: without MPI_Finalize, which would wait for the other ranks."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # None, closed, or without a reader
            stream.flush()
    os._exit(code)
