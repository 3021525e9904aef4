"""Work that is put off: products of weights' gradients, which nobody reads before a walk ends.

The caller of a walk back runs Python most of the time, while the workers of the pool wait. A
product that is put off gives them something to do meanwhile. `fast_walk` opens a `deferring`
block and tells each rule which of its results may come later (`DEFERRABLE`); a kernel that makes
use of that registers the call that completes its work with `defer`.
"""

from collections.abc import Callable
from contextvars import ContextVar

# In the place of True where a rule is told which cotangents are wanted: wanted, but not read
# before the walk ends, so the array that is returned may be filled by then.
DEFERRABLE = 2

_unfinished: ContextVar[set | None] = ContextVar("unfinished", default=None)


class deferring:
    """A with block in which work may be put off; it is done when the block ends, at the latest."""

    def __enter__(self) -> "deferring":
        self.unfinished: set[Callable[[], None]] = set()
        self.token = _unfinished.set(self.unfinished)
        return self

    def __exit__(self, *_):
        _unfinished.reset(self.token)
        self.finish()

    def finish(self) -> None:
        """Do now what was put off so far."""
        while self.unfinished:
            self.unfinished.pop()()


def defer(finish: Callable[[], None]) -> None:
    """Have the `deferring` block that runs call finish before it ends."""
    _unfinished.get().add(finish)
