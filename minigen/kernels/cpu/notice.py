"""A line on the screen while kernels are compiled: the first run on a machine takes seconds."""

import os
import sys
import time
from contextlib import nullcontext, suppress
from threading import Timer

from minigen import console
from minigen.communication.world import current

QUIET = 1.5  # seconds of compilation in a process of which nothing is said


class Notice:
    """Says once that kernels are compiled; on a terminal with their number, as long as it lasts."""

    def __init__(self):
        self.depth = 0  # of a kernel that is compiled for another one
        self.kernels, self.seconds = 0, 0.0  # compiled so far
        self.start, self.timer, self.said, self.width = 0.0, None, False, 0
        self.busy = nullcontext()  # other ranks wait longer for one that compiles

    def begin(self) -> None:
        """A kernel is not in the cache, and its compilation begins."""
        self.depth += 1
        if self.depth > 1:
            return
        self.busy = current().busy("compiling")
        self.busy.__enter__()
        self.start = time.monotonic()
        self.timer = Timer(max(0.0, QUIET - self.seconds), self._say)
        self.timer.daemon = True
        self.timer.start()

    def end(self) -> None:
        """The compilation of a kernel has ended."""
        self.kernels += 1
        self.depth -= 1
        if self.depth:
            return
        self.busy.__exit__(None, None, None)
        self.seconds += time.monotonic() - self.start
        self.timer.cancel()
        self.timer.join()  # so that it does not write after the line is cleared
        if self.width:
            self._write(" " * self.width + "\r")
            self.width = 0

    def _say(self) -> None:
        """Write the line, on a terminal with the numbers so far; of several ranks one does."""
        if current().local_rank:
            return
        line = "minigen: compiling kernels, once on this machine"
        if console.is_terminal(sys.stderr):
            line = f"{line}: {self.kernels} done, {self.seconds:.0f} s"[: _columns() - 1]
            self.width = len(line)
            self._write(line + "\r")
        elif not self.said:
            console.say(line, sys.stderr)
        self.said = True

    def _write(self, text: str) -> None:
        """Write text to the terminal; it ends with a carriage return: the next text replaces it."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


def _columns() -> int:
    """The width of the terminal of stderr, for shutil asks that of stdout."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


notice = Notice()
