"""The board: what each rank is doing, in memory that the processes of one machine share.

A rank writes into its own row, which costs less than a microsecond and no system call. The process
of watchdog.py reads the rows, so this file imports the standard library alone.
"""

import mmap

BYTES = 8192  # of a row: its numbers, the activity and the failure; unwritten rows take no memory
ACTIVITY, FAILURE = 64, 128  # where the texts begin
# The numbers of a row, int64. WAITING is the number of the wait, and 0 outside of waits; POLLS is
# how often waits have asked for their end: a wait that no longer asks hangs.
PROGRESS, WAITING, STATE, CODE, FAILURE_BYTES, POLLS = range(6)
RUNNING, ENDED, FAILED = 0, 1, 2  # STATE
# The numbers of the first row, which is for all: the exit code plus 1 once the ranks are to end.
END, PATIENCE = range(2)


class Row:
    """What a rank tells of itself."""

    def __init__(self, memory: memoryview):
        self.numbers = memory[:ACTIVITY].cast("q")
        self.memory, self.waits = memory, 0

    def progress(self) -> None:
        self.numbers[PROGRESS] += 1

    def begin_wait(self) -> None:
        self.waits += 1
        self.numbers[WAITING] = self.waits

    def end_wait(self) -> None:
        self.numbers[WAITING] = 0
        self.numbers[PROGRESS] += 1

    @property
    def activity(self) -> str:
        """The work that may take long without progress: "compiling"; "" while it trains."""
        return bytes(self.memory[ACTIVITY:FAILURE]).rstrip(b"\0").decode(errors="replace")

    @activity.setter
    def activity(self, text: str) -> None:
        size = FAILURE - ACTIVITY
        self.memory[ACTIVITY:FAILURE] = text.encode()[:size].ljust(size, b"\0")
        self.numbers[PROGRESS] += 1

    @property
    def failure(self) -> str:
        end = FAILURE + self.numbers[FAILURE_BYTES]
        return bytes(self.memory[FAILURE:end]).decode(errors="replace")

    def fail(self, text: str, code: int) -> None:
        """Tell why this rank ends all; of a long text the end is kept, where the error stands."""
        content = text.encode()[FAILURE - BYTES :]
        self.memory[FAILURE : FAILURE + len(content)] = content
        self.numbers[FAILURE_BYTES], self.numbers[CODE] = len(content), code
        self.numbers[STATE] = FAILED


class Board:
    """The rows of all ranks, in a file that the processes of this machine have mapped."""

    def __init__(self, path: str, size: int):
        with open(path, "r+b") as file:
            self.memory = memoryview(mmap.mmap(file.fileno(), (size + 1) * BYTES))
        self.numbers = self.memory[:BYTES].cast("q")

    def row(self, rank: int) -> Row:
        return Row(self.memory[(rank + 1) * BYTES : (rank + 2) * BYTES])

    @property
    def patience(self) -> float:
        """Seconds."""
        return self.numbers[PATIENCE] / 1000

    @patience.setter
    def patience(self, seconds: float) -> None:
        self.numbers[PATIENCE] = max(1, round(seconds * 1000))

    @property
    def end(self) -> int | None:
        """The exit code with which all ranks are to end at once; None while they go on."""
        return self.numbers[END] - 1 if self.numbers[END] else None

    @end.setter
    def end(self, code: int) -> None:
        self.numbers[END] = code + 1
