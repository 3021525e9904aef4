"""Batches on their way to a GPU: copied from pinned memory while the GPU is busy with another."""

from collections.abc import Iterable, Iterator

import numpy as np

from minigen.backend.arrays import Array, cupy
from minigen.backend.devices import pinned

Batch = tuple[Array, ...]


def ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Each batch as fresh arrays on the current GPU, the next one already under way."""
    stream = cupy().cuda.Stream(non_blocking=True)
    idle, coming = [Slot(), Slot()], None
    try:
        for batch in batches:
            slot = idle.pop()
            slot.send(batch, stream)
            if coming is not None:
                yield coming.take()
                idle.append(coming)
            coming = slot
        if coming is not None:
            yield coming.take()
    finally:  # whoever gets the memory of a batch that nobody took waits for its copy
        cupy().cuda.get_current_stream().wait_event(stream.record())


class Slot:
    """Memory on both sides for one batch, used again and again."""

    def __init__(self):
        self.here, self.there, self.sent, self.taken = [], [], None, None

    def send(self, batch: Batch, stream) -> None:
        """Start to copy a batch to the device, on a stream of its own."""
        if self.sent is not None:
            self.sent.synchronize()  # the pinned memory has been read
        if [(x.shape, x.dtype) for x in batch] != [(x.shape, x.dtype) for x in self.here]:
            self.here = [pinned(x.shape, x.dtype) for x in batch]
            self.there = [cupy().empty(x.shape, x.dtype) for x in batch]
            self.taken = cupy().cuda.get_current_stream().record()  # this memory may be in use
        stream.wait_event(self.taken)
        for x, here, there in zip(batch, self.here, self.there):
            np.copyto(here, x)
            there.set(here, stream)
        self.sent = stream.record()

    def take(self) -> Batch:
        """The batch, in arrays of its own, for the current stream."""
        current = cupy().cuda.get_current_stream()
        current.wait_event(self.sent)
        batch = tuple(x.copy() for x in self.there)
        self.taken = current.record()
        return batch
