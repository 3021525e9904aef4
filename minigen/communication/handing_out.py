"""Handing out the batches of an epoch in parts, each to the next rank that asks for one.

So a fast rank takes more of them than a slow one. Where ranks go in step, each has its own part of
every batch instead.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np


class HandingOut:
    """A counter of the parts of an epoch, which all ranks share; all ranks of a World make it.

    A batch has as many parts as there are ranks.
    """

    def __init__(self, world: Any):
        self.world = world
        self.window = world.window([np.zeros(2, np.int64)])  # the next part, and the end

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """(batch, part of it), handed out to this rank, of the batches start ... stop - 1.

        All ranks begin together; a rank that asks after the end ends at once.
        """
        size = self.world.size
        self.world.barrier()  # all have asked after the end of the epoch before
        if self.world.rank == 0:
            with self.window.locked() as (counter,):
                counter[:] = start * size, stop * size
        self.world.barrier()
        while True:
            with self.window.locked() as (counter,):
                part, end = counter.tolist()
                if part >= end:
                    return
                counter[0] += 1
            yield divmod(part, size)

    def stop(self) -> None:
        """Hand out only the rest of the batch of which some parts are handed out already."""
        with self.window.locked() as (counter,):
            counter[1] = min(counter[1], -(-counter[0] // self.world.size) * self.world.size)

    @property
    def end(self) -> int:
        """The batch before which the epoch ends, or is to stop."""
        with self.window.locked() as (counter,):
            return int(counter[1]) // self.world.size

    def align(self, rng: Any) -> None:
        """Set a generator of random numbers to the state of the rank that has drawn most."""
        rng.state = max(tuple(state) for state in self.world.gather(list(rng.state)))
