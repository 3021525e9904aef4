"""Text on the screen: streams that are missing, closed, or lack a character stop no program."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def close_broken() -> None:
    """Flush the streams and let those whose reader has gone drop their text.

    Python flushes them again at its end, and would print a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # it is closed, or has no file descriptor
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


@contextmanager
def printing_to_anyone() -> Iterator[None]:
    """A context in which print to stdout raises no error: text that cannot be written is dropped.

    So a long run goes on when its terminal is closed, or its disk is full. Characters that the
    encoding lacks become "?".
    """
    outer = sys.stdout
    if not hasattr(outer, "buffer"):  # None, or a stream of a notebook or a test
        yield
        return
    inner = _Dropping(outer.buffer)
    wrapper = io.TextIOWrapper(inner, outer.encoding, "replace", line_buffering=True)
    sys.stdout = wrapper
    try:
        yield
    finally:
        sys.stdout = outer
        wrapper.detach()  # with a flush; it would close the buffer
        close_broken()


class _Dropping(io.BufferedIOBase):
    """A binary stream that drops what another cannot take."""

    def __init__(self, stream: Any):
        self.stream = stream

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return is_terminal(self.stream)

    def fileno(self) -> int:
        return self.stream.fileno()

    def write(self, data: Any) -> int:
        with suppress(OSError, ValueError):
            self.stream.write(data)
            self.stream.flush()
        return len(data)
