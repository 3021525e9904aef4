"""Copies of batches to a GPU, from pinned memory, while the GPU computes with the batch before."""

from collections.abc import Iterable, Iterator

import numpy as np

from minigen.backend.arrays import Array, cupy
from minigen.backend.devices import pinned

Batch = tuple[Array, ...]


def ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Each batch as new arrays on the current GPU; the next batch is being copied meanwhile."""
    stream = cupy().cuda.Stream(non_blocking=True)
    idle, in_flight = [Slot(), Slot()], None
    try:
        for batch in batches:
            slot = idle.pop()
            slot.send(batch, stream)
            if in_flight is not None:
                yield in_flight.take()
                idle.append(in_flight)
            in_flight = slot
        if in_flight is not None:
            yield in_flight.take()
    finally:  # the memory of a batch that was not taken may be reused once its copy has ended
        cupy().cuda.get_current_stream().wait_event(stream.record())


class Slot:
    """Pinned host memory and device memory for one batch, reused for each second batch."""

    def __init__(self):
        self.pinned, self.on_device, self.sent, self.taken = [], [], None, None

    def send(self, batch: Batch, stream) -> None:
        """Start to copy a batch to the device, on that stream."""
        if self.sent is not None:
            self.sent.synchronize()  # after that, the pinned memory has been read
        if [(x.shape, x.dtype) for x in batch] != [(x.shape, x.dtype) for x in self.pinned]:
            self.pinned = [pinned(x.shape, x.dtype) for x in batch]
            self.on_device = [cupy().empty(x.shape, x.dtype) for x in batch]
            # The current stream may still use memory that it has freed and that is reused here.
            self.taken = cupy().cuda.get_current_stream().record()
        stream.wait_event(self.taken)
        for x, host, device in zip(batch, self.pinned, self.on_device):
            np.copyto(host, x)
            device.set(host, stream)
        self.sent = stream.record()

    def take(self) -> Batch:
        """The batch that was sent, copied to new arrays for use on the current stream."""
        current = cupy().cuda.get_current_stream()
        current.wait_event(self.sent)
        batch = tuple(x.copy() for x in self.on_device)
        self.taken = current.record()
        return batch
