"""The processes that train one model: their number, which one this is, sums and broadcasts.

`World` is one process alone. `launch.start` makes this process a rank of `mpi.MpiWorld` if mpiexec
has started it. Either is then `current()`, which ops and training runs ask.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, array_module
from minigen.communication.handing_out import HandingOut
from minigen.communication.rows import Rows, own_draws, rows_of
from minigen.communication.windows import Window

OPS = ("mean", "sum", "max", "min")


class World:
    """One process alone, and the base of the others: rank `rank` of `size`.

    local_rank and local_size are those among the ranks on this machine. `rows` are the rows of the
    batch that this rank works on, None between steps (see `split`). `in_step` is true while all
    ranks take the same steps at the same time: then ops may sum over all ranks. `handing_out`, if
    there is one, hands out the parts of batches to ranks that step at a pace of their own.
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def __init__(self) -> None:
        self.rows: Rows | None = None
        self.in_step = False
        self.handing_out: HandingOut | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank={self.rank}, size={self.size})"

    def split(self, total: int) -> Rows:
        """This rank's rows of a batch of `total` rows, which are `rows` from now on.

        A `Run` ends that after its step; elsewhere set `rows` to None, or split the next batch. One
        process alone has all rows, and leaves `rows` None.
        """
        part = rows_of(total, self.rank, self.size)
        self.rows = part if self.size > 1 else None
        return part

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """(batch, part of it) for each step of this rank in the batches start ... stop - 1.

        In step, these are all batches and this rank's part; else parts are handed out to whichever
        rank is free, and all ranks call this together.
        """
        if self.handing_out is not None:
            return self.handing_out.parts(start, stop)
        return ((i, self.rank) for i in range(start, stop))

    def rows_of_part(self, total: int, part: int) -> tuple[Rows, Rows]:
        """(rows of a part of a batch, rows of the draws for it) of a batch of `total` rows."""
        rows = rows_of(total, part, self.size)
        return rows, rows if self.handing_out is None else own_draws(rows, self.rank, self.size)

    @property
    def shared_rows(self) -> Rows | None:
        """`rows`, if ops are to sum over the rows of all ranks; None if this rank's are enough."""
        return self.rows if self.in_step and self.size > 1 else None

    def all_reduce(self, arrays: Any, op: str = "mean") -> Any:
        """New arrays: mean, sum, max or min over ranks; on one machine added in the order of ranks.

        arrays: an array, or a sequence of arrays, for which a list is returned; of the same shapes
        and dtypes on all ranks.
        """
        if op not in OPS:
            raise ValueError(f"all_reduce: op must be one of {OPS}, got {op!r}")
        return _each(arrays, lambda x: self._reduced(x, op))

    def broadcast(self, arrays: Any, root: int = 0) -> Any:
        """New arrays: those of rank root; arrays of the same shapes and dtypes on all ranks."""
        if not 0 <= root < self.size:
            raise ValueError(f"broadcast: root must be a rank, 0 to {self.size - 1}, got {root}")
        return _each(arrays, lambda x: self._sent(x, root))

    def barrier(self) -> None:
        """Return when all ranks have called it."""

    def share(self, value: Any, root: int = 0) -> Any:
        """The value of rank root, of numbers, texts, lists and dicts (JSON), on all ranks."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, as JSON can hold them, in the order of ranks; on all ranks."""
        return [value]

    def window(self, like: Sequence[np.ndarray]) -> Window:
        """Arrays of the shapes and dtypes of `like`, which one rank at a time reads and writes."""
        return Window(like)

    def reductions(self, like: Sequence[Array]) -> "Reductions":
        """Sums over ranks of arrays of the shapes and dtypes of `like`, again and again."""
        return Reductions(like)

    @contextmanager
    def busy(self, activity: str) -> Iterator[None]:
        """A context for work that may take long without a step: "compiling", "saving" ..."""
        yield

    def progress(self) -> None:
        """Tell the other ranks that this one has got on with its work."""

    def set_patience(self, seconds: float) -> None:
        """Have ranks that make no progress for this time end all, while others wait for them."""

    def fail(self, sentence: str, code: int = 1) -> None:
        """End all ranks with a sentence, which names this one, and an exit code; alone, nothing."""

    def _reduced(self, x: Array, op: str) -> Array:
        return x.copy()

    def _sent(self, x: Array, root: int) -> Array:
        return x.copy()


class Reductions:
    """Sums over ranks that go on while this rank computes; here for one process alone.

    Call ready(i), write into `slots[i]`, call start(i), compute, and take finish(i). All ranks
    start them in the same order, each again only after its sum was taken; but the order beside
    those of other Reductions is free.
    """

    def __init__(self, like: Sequence[Array]):
        self.slots = [array_module(x).empty(x.shape, x.dtype) for x in like]

    def ready(self, i: int) -> None:
        """Return when slots[i] may be written to."""

    def start(self, i: int) -> None:
        """Begin to sum slots[i]."""

    def poll(self) -> None:
        """Help the sums along that were started; called often, returns at once."""

    def finish(self, i: int) -> Array:
        """A new array: the sum of slots[i] over all ranks, when it is complete."""
        return self.slots[i].copy()


def _each(arrays: Any, f: Any) -> Any:
    if isinstance(arrays, list | tuple):
        return [f(x) for x in arrays]
    return f(arrays if hasattr(arrays, "dtype") else np.asarray(arrays))


_world = World()


def current() -> World:
    """The World of this process: one process alone, until `launch.start` has joined others."""
    return _world


def join(world: World) -> World:
    """Make world the current one."""
    global _world
    _world = world
    return world


def world_of(x: Any) -> World:
    """x if it is a World; else one of the rank and the size that x has, which cannot communicate.

    TypeError for an x without them, ValueError unless 0 <= rank < size.
    """
    if isinstance(x, World):
        return x
    found = getattr(x, "rank", None), getattr(x, "size", None)
    if not all(isinstance(n, Integral) and not isinstance(n, bool) for n in found):
        raise TypeError(
            "world: expected that of minigen.distributed.start(), or an object whose rank and size "
            f"are integers, got {x!r}"
        )
    world = World()
    world.rank, world.size = map(int, found)
    if not 0 <= world.rank < world.size:
        raise ValueError(f"world: the rank {world.rank} is not one of {world.size}, from 0 on")
    return world
