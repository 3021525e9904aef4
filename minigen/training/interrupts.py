"""Ctrl-C as a request: a run finishes its step and saves before it stops."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from minigen.communication.world import current

# A terminal sends Ctrl-C to mpiexec and to the ranks, and mpiexec sends it to the ranks, too.
SAME = 1.0  # seconds within which a rank takes two for one


class Interrupts:
    """Handles Ctrl-C between `install` and `remove`.

    The first Ctrl-C sets `requested`; the second raises KeyboardInterrupt.
    """

    def __init__(self, say: Callable[[str], None]):
        self.say, self.requested, self.previous_handler = say, False, None
        self.when = 0.0  # it was requested

    def install(self) -> None:
        """Install the handler of SIGINT; no effect outside the main thread."""
        with suppress(ValueError):  # Python allows signal handlers in the main thread only
            self.previous_handler = signal.signal(signal.SIGINT, self._request)

    def remove(self) -> None:
        """Restore the previous handler."""
        if self.previous_handler is not None:
            signal.signal(signal.SIGINT, self.previous_handler)

    def _request(self, *_: Any) -> None:
        self.requested, self.when = True, time.monotonic()
        signal.signal(signal.SIGINT, self._again)
        with suppress(RuntimeError):  # print is not reentrant: the signal may interrupt another
            self.say("interrupted: what runs ends and is saved; Ctrl-C again to stop at once")

    def _again(self, *arguments: Any) -> None:
        if current().size == 1 or time.monotonic() - self.when > SAME:
            signal.default_int_handler(*arguments)
