"""Inputs of a captured CUDA graph that the host writes before each replay.

A graph repeats operations on the same memory. So what changes between replays, batches, optimizer
settings and positions in random streams, is copied into arrays that the graph reads.
"""

from typing import Any

import numpy as np

from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, cupy, is_cupy
from minigen.backend.devices import pinned, to_device
from minigen.random import Generator
from minigen.tensors import Tensor


class Upload:
    """A device array `on_device` that is filled from the host, through pinned memory."""

    def __init__(self, source: Array):
        self.source = source  # an array of the shape and dtype; what a caller sends by default
        self.on_device = cupy().empty(source.shape, source.dtype)
        self.staging = None if is_cupy(source) else pinned(source.shape, source.dtype)
        self.sent = None  # the event after the last copy from staging

    def send(self, x: Array, stream: Any) -> None:
        """Copy x, of the host or the device, to on_device, as the next work of the stream.

        The host waits for the previous copy only, which has then read the pinned memory.
        """
        if is_cupy(x):
            self.on_device[...] = x
            return
        if self.sent is not None:
            self.sent.synchronize()
        self.staging[...] = x
        self.on_device.set(self.staging, stream)
        self.sent = stream.record()


class StreamPosition:
    """The position of a generator, relative to its position when the step was recorded."""

    def __init__(self, generator: Generator):
        self.generator, (self.seed, self.start) = generator, generator.state
        self.words_per_step = 0  # set after the recording
        self.offset = np.zeros(1, np.int64)  # words between the recorded step and the next replay
        self.device_offset: Array | None = None  # the copy that kernels read, if they draw

    def advance(self) -> None:
        """Set the offset for the next replay, and advance the generator by the words of a step."""
        counter = self.generator.state[1]
        self.offset[0] = counter - self.start
        self.generator.state = self.seed, counter + self.words_per_step


def on_gpu(x: Any) -> Any:
    """x, an array or tensor, on the GPU."""
    if is_cupy(raw(x)):
        return x
    return Tensor(to_device(x.data, "cuda")) if isinstance(x, Tensor) else to_device(x, "cuda")


def signature(x: Any) -> tuple:
    """What a graph fixes of an argument: whether a tensor, shape, dtype, and whether on a GPU."""
    return isinstance(x, Tensor), x.shape, x.dtype, is_cupy(raw(x))
