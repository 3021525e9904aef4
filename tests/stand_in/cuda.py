"""`cupy.cuda` of the stand-in: one device, its memory, and the streams of streams.py."""

import os
from contextlib import contextmanager
from types import SimpleNamespace

from stand_in import nccl
from stand_in.recording import allocator as current_allocator
from stand_in.recording import current
from stand_in.streams import Event, Stream, by_ptr, synchronize_device


class Device:
    """The only device; its context manager does nothing."""

    def __init__(self, device=0):
        self.id = int(device)
        assert self.id == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        synchronize_device()

    def use(self):
        return self

    compute_capability = "90"


class MemoryPool:
    """A pool whose malloc only serves as a mark: see using_allocator."""

    def __init__(self, allocator=None):
        pass

    def malloc(self, size):
        raise AssertionError("the stand-in's arrays do not use pools")

    def used_bytes(self):
        return 0

    def total_bytes(self):
        return 0

    def free_bytes(self):
        return 0

    def free_all_blocks(self, stream=None):
        pass


@contextmanager
def using_allocator(allocator=None):
    """In a with block, arrays count as allocated from that pool."""
    token = current_allocator.set(None if allocator == pool.malloc else allocator)
    try:
        yield
    finally:
        current_allocator.reset(token)


def alloc_pinned_memory(size):
    """Host memory of that many bytes."""
    return memoryview(bytearray(size))


pool = MemoryPool()
cuda = SimpleNamespace(
    is_available=lambda: True,
    Device=Device,
    Stream=Stream,
    Event=Event,
    MemoryPool=MemoryPool,
    using_allocator=using_allocator,
    get_allocator=lambda: current_allocator.get() or pool.malloc,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=lambda: by_ptr[current.get()],
    get_elapsed_time=lambda start, end: 1e3 * (end.seconds - start.seconds),
    runtime=SimpleNamespace(
        getDeviceCount=lambda: 1,
        # Each process has a GPU of its own, unless the environment names one for several.
        deviceGetPCIBusId=lambda device: os.environ.get("STAND_IN_GPU", f"process {os.getpid()}"),
        memGetInfo=lambda: (2**33, 2**34),
        runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 12090,
    ),
    nccl=nccl,
    memory=SimpleNamespace(OutOfMemoryError=MemoryError),
)
