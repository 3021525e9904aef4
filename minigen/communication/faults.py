"""Faults of ranks: the error of one rank, or its death, ends all, and its name is said.

A rank writes on the board what it does. A process on each machine (watchdog.py) reads the board,
says what has happened and ends the ranks of its machine. The launcher then ends the others.
"""

import atexit
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minigen.communication.board import BYTES, ENDED, STATE, Board
from minigen.communication.waiting import end_if_asked, end_process, sleep_until, use_board

PATIENCE = 30.0  # seconds
START_LIMIT = 30.0  # seconds from start() on in which all ranks of this machine should call it
ANSWER = 10.0  # seconds for the watchdog to end a rank that has failed
MEMORY = "/dev/shm"  # a folder in memory (Linux)


class Watchdog:
    """The process that watches this rank from now on, before MPI is there.

    `join` leaves one for the ranks of a machine. Without it (a system that starts none) the
    launcher alone sees faults, and does not name the rank.
    """

    def __init__(self, rank: int, size: int, rank_variable: str, limit: float = START_LIMIT):
        script = str(Path(__file__).with_name("watchdog.py"))
        numbers = rank, os.getpid(), os.getppid(), size, rank_variable, limit
        # -S and -E: without the packages and settings of this Python, it starts in milliseconds.
        command = [sys.executable, "-S", "-E", script, *map(str, numbers)]
        words, self.words = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        files = [(os.POSIX_SPAWN_DUP2, words, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
        self.pid = None
        with suppress(OSError, ValueError, NotImplementedError):
            # In a session of its own, so that what ends the ranks does not end it first.
            environment = {k: v for k, v in os.environ.items() if k != rank_variable}  # it is none
            self.pid = os.posix_spawn(
                command[0], command, environment, file_actions=files, setsid=True
            )
        os.close(words)
        os.close(null)

    def join(self, local: Any, ranks: np.ndarray, size: int, patience: float) -> Board | None:
        """The board of the ranks of the communicator `local`, whose ranks among all are `ranks`."""
        first = local.Get_rank() == 0
        path = np.zeros(4096, np.uint8)
        if first:
            with suppress(OSError):
                folder = MEMORY if os.access(MEMORY, os.W_OK) else None
                file, name = tempfile.mkstemp(prefix="minigen-board-", dir=folder)
                os.truncate(file, (size + 1) * BYTES)
                os.close(file)
                path[: len(name)] = np.frombuffer(name.encode(), np.uint8)
        local.Bcast(path)
        name, board = path.tobytes().rstrip(b"\0").decode(), None
        with suppress(OSError, ValueError):
            board = Board(name, size)
        pids = np.empty((len(ranks), 2), np.int64)
        local.Allgather(np.array([os.getpid() if board else 0, self.pid or 0], np.int64), pids)
        if first and pids.all():
            board.patience = patience
            self.tell("joined", name, *(f"{rank} {pid}" for rank, pid in zip(ranks, pids[:, 0])))
        elif pids.all():
            self.tell("hold", str(pids[0, 1]))
        else:
            self.leave()
            if first and name:
                os.unlink(name)
        return board if pids.all() else None

    def leave(self) -> None:
        self.tell("leave")
        if self.pid:
            with suppress(OSError):
                os.waitpid(self.pid, 0)
        self.pid = None

    def tell(self, *words: str) -> None:
        with suppress(OSError):
            os.write(self.words, " ".join(words).encode() + b"\n")


class Faults:
    """What a rank does at its end: together with the others, or because of an error."""

    def __init__(self, watchdog: Watchdog, board: Board | None, comm: Any):
        self.watchdog, self.board = watchdog, board
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.comm = comm  # of its own, since a rank may end while another still waits for a sum
        self.row = board.row(self.rank) if board else None
        if board:
            use_board(board, self.row)
        self.other_hook: Callable = sys.excepthook
        sys.excepthook = self.on_error
        atexit.register(self.at_exit)  # before MPI_Finalize, which mpi4py calls as the last thing

    def on_error(self, kind: Any, error: Any, trace: Any) -> None:
        """End all ranks with an error that nothing has caught; sys.excepthook."""
        if issubclass(kind, KeyboardInterrupt):
            self.fail("", code=130)
        sentence = "".join(traceback.format_exception_only(kind, error)).rstrip()
        lines = "".join(traceback.format_exception(kind, error, trace)).rstrip()
        self.fail(sentence, lines.removesuffix(sentence))

    def fail(self, sentence: str, trace: str = "", code: int = 1) -> None:
        """End all ranks: the watchdog says the sentence with this rank's name. Never returns."""
        if self.board:
            self.row.fail(f"{trace}\0{sentence}", code)
            end = time.monotonic() + ANSWER
            sleep_until(lambda: end_if_asked(self.board) or time.monotonic() > end)
        if sentence:
            own = f"rank {self.rank} of {self.size} (pid {os.getpid()}, {os.uname().nodename})"
            with suppress(OSError):
                os.write(2, f"{trace}{own}: {sentence}\n".encode(errors="replace"))
        self.comm.Abort(code)
        end_process(code)

    def at_exit(self) -> None:
        """Wait, asleep, until all ranks are at their end: MPI_Finalize would keep cores busy."""
        if self.row:
            self.row.numbers[STATE] = ENDED
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        try:
            end = self.comm.Ibarrier()
            sleep_until(lambda: end.Test() or (self.board and end_if_asked(self.board)))
        except KeyboardInterrupt:
            end_process(130)
        self.watchdog.leave()
