"""Text on the screen: streams that are missing, closed, or lack a character stop no program."""

import os
import sys
from contextlib import suppress
from typing import Any

BROKEN_PIPE = 141  # 128 + SIGPIPE: the exit code of a program whose reader has gone, as in a shell


def prepare() -> None:
    """Let the streams print "?" for characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # None, of a notebook, or closed
            stream.reconfigure(errors="replace")


def say(text: str, stream: Any = None) -> None:
    """Print a line to stream, by default stdout; no effect if that is missing or closed."""
    stream = sys.stdout if stream is None else stream
    if stream is None:
        return
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
    except (OSError, ValueError):
        close_broken()


def is_terminal(stream: Any) -> bool:
    """Whether stream is a terminal; not if it is None or closed."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def close_broken() -> bool:
    """Flush the streams and let those whose reader has gone drop their text; whether there are any.

    Python flushes them again at its end, and would print a traceback.
    """
    broken = False
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            broken = True
            with suppress(OSError, ValueError):  # it is closed, or has no file descriptor
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
    return broken
