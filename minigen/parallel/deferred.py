"""Deferred work: products of weights' gradients, which are read only after the backward pass.

During a backward pass the caller runs Python most of the time, and the workers of the pool would
wait. A deferred product gives them something to compute. `fast_walk` opens a `deferring` block,
and tells each rule which of its results may be completed later (`DEFERRABLE`). A kernel that makes
use of it registers, with `defer`, the call that completes its work.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

# Passed to a rule instead of True for a cotangent that is wanted, but not read before the backward
# pass ends: the array that the rule returns may be filled until then.
DEFERRABLE = 2

_current: ContextVar[Any] = ContextVar("deferring", default=None)  # the innermost block


class deferring:
    """A with block in which work may be deferred; it is done when the block ends, or before."""

    def __enter__(self) -> "deferring":
        self.unfinished: set[Callable[[], None]] = set()
        self.token = _current.set(self)
        return self

    def __exit__(self, *_):
        _current.reset(self.token)
        self.finish()

    def add(self, finish: Callable[[], None]) -> None:
        """Have finish called before the block ends; the same function twice, once."""
        self.unfinished.add(finish)

    def finish(self) -> None:
        """Complete now what was deferred so far."""
        while self.unfinished:
            self.unfinished.pop()()


def defer(finish: Callable[[], None]) -> None:
    """Have the current `deferring` block call finish before it ends: see its method `add`."""
    _current.get().add(finish)
