"""Ctrl-C as a request: what runs may finish its step and save before it stops."""

import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Interrupts:
    """Counts Ctrl-C between `install` and `remove`: the first is a request, the second kills."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.requested, self.previous_handler = say, False, None

    def install(self) -> None:
        """Handle SIGINT from now on; nothing on other threads than the main one."""
        with suppress(ValueError):  # signals reach the main thread only
            self.previous_handler = signal.signal(signal.SIGINT, self._request)

    def remove(self) -> None:
        """Restore the handler that there was before."""
        if self.previous_handler is not None:
            signal.signal(signal.SIGINT, self.previous_handler)

    def _request(self, *_: Any) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C stops at once
        with suppress(RuntimeError):  # the signal may come in the middle of another print
            self.say("interrupted: what runs ends and is saved; Ctrl-C again to stop at once")
