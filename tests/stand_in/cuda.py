"""`cupy.cuda` of the stand-in: one device, synchronous streams, graphs that replay."""

from contextlib import contextmanager
from time import perf_counter
from types import SimpleNamespace

from stand_in.recording import allocator as current_allocator
from stand_in.recording import refuse_while_capturing, tape


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
        refuse_while_capturing("synchronize")

    def use(self):
        return self

    compute_capability = "90"


class Stream:
    """A synchronous stream; while it is captured, operations are put on the tape."""

    null = None
    ptr = 1

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self._token = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def use(self):
        return self

    def synchronize(self):
        refuse_while_capturing("synchronize")

    def wait_event(self, event):
        pass

    def record(self, event=None):
        return event or Event()

    def begin_capture(self, mode=None):
        self._token = tape.set([])

    def end_capture(self):
        actions = tape.get()
        tape.reset(self._token)
        if None in actions:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return Graph(actions)

    def is_capturing(self):
        return tape.get() is not None


class Graph:
    """The actions of a capture, which each launch runs in order."""

    def __init__(self, actions):
        self.actions = actions

    def launch(self, stream=None):
        for action in self.actions:
            action()

    def upload(self, stream=None):
        pass


class Event:
    """An event, which is over as soon as it is recorded."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.seconds = None

    def record(self, stream=None):
        self.seconds = perf_counter()

    def synchronize(self):
        pass

    done = True


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


pool, _stream = MemoryPool(), Stream()
Stream.null = _stream
cuda = SimpleNamespace(
    is_available=lambda: True,
    Device=Device,
    Stream=Stream,
    Event=Event,
    MemoryPool=MemoryPool,
    using_allocator=using_allocator,
    get_allocator=lambda: current_allocator.get() or pool.malloc,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=lambda: _stream,
    get_elapsed_time=lambda start, end: 1e3 * (end.seconds - start.seconds),
    runtime=SimpleNamespace(
        getDeviceCount=lambda: 1,
        memGetInfo=lambda: (2**33, 2**34),
        runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 12090,
    ),
    memory=SimpleNamespace(OutOfMemoryError=MemoryError),
)
