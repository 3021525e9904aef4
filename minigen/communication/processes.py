"""A process of this machine, as the system tells of it; for watchdog.py.

On Linux by pidfd and /proc; elsewhere only whether it is there. The standard library alone is
imported here, as in board.py.
"""

import fcntl
import os
import signal
import struct
from contextlib import suppress

from board import POLLS, PROGRESS, RUNNING, STATE, WAITING

GET_INFO, EXIT_INFO = 0xC040FF0B, 1 << 3  # of ioctl on a pidfd (Linux 6.15, <linux/pidfd.h>)


class Process:
    """A rank of this machine, and since when its numbers have been what they are."""

    def __init__(self, rank: int, pid: int, now: float):
        self.rank, self.pid, self.row, self.file = rank, pid, None, None
        with suppress(OSError, AttributeError):  # it has gone; or the system has no pidfd
            self.file = os.pidfd_open(pid)
        self.status: int | None = None  # as of os.waitpid, once it has gone
        self.numbers, self.polls = (0, 0), 0
        self.changed = self.stopped = self.polled = now

    def look(self, now: float) -> None:
        if self.state_letter() != "T":
            self.stopped = now
        if self.row is not None:
            numbers = self.row.numbers[PROGRESS], self.row.numbers[WAITING]
            if numbers != self.numbers:
                self.numbers, self.changed = numbers, now
            if self.row.numbers[POLLS] != self.polls:
                self.polls, self.polled = self.row.numbers[POLLS], now

    def is_in(self, state: int) -> bool:
        return self.row is not None and self.row.numbers[STATE] == state

    @property
    def waits(self) -> bool:
        return self.is_in(RUNNING) and self.numbers[1] != 0

    def state_letter(self) -> str:
        return (fields_of(self.pid) or "?")[0]

    def has_gone(self) -> bool:
        """Whether the process has ended; only asked where there is no pidfd."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return self.state_letter() == "Z"

    def reason(self) -> str:
        """What ended the process, in words."""
        status = self.exit_status()
        if status is None:
            return "has gone: it was killed, or has crashed"
        if number := status & 127:
            name = signal.Signals(number).name
            hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"was killed by signal {number} ({name}{hint})"
        return f"has ended with exit code {status >> 8} without a word"

    def exit_status(self) -> int | None:
        """The status as of os.waitpid, from the zombie, or from the kernel's memory of it."""
        fields = fields_of(self.pid)
        if fields and fields[0] == "Z":
            return int(fields[-1])
        info = bytearray(64)
        struct.pack_into("Q", info, 0, EXIT_INFO)
        with suppress(OSError, TypeError):
            fcntl.ioctl(self.file, GET_INFO, info, True)
            if struct.unpack_from("Q", info)[0] & EXIT_INFO:
                return struct.unpack_from("i", info, 60)[0]
        return None


def fields_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none if it has gone, or without /proc."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def children_of(pid: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []
    return [each for each in pids if (fields_of(each) or "??")[1] == str(pid)]


def runs(pid: int, script: str) -> bool:
    """Whether the command line of a process names a script."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return script.encode() in file.read()
    return False


def segments_of(pid: int) -> list[str]:
    """The files of shared memory that MPICH leaves behind when its processes are killed."""
    try:
        with open(f"/proc/{pid}/maps", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[-1] for line in lines if "/dev/shm/mpich_shm_" in line}
    return [path for path in paths if not path.endswith("(deleted)")]
