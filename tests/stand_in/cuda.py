"""`cupy.cuda` of the stand-in: one device, streams that run at once, graphs that replay."""

from contextlib import contextmanager
from time import perf_counter
from types import SimpleNamespace

from stand_in.recording import allocator as current_allocator
from stand_in.recording import refuse_while_capturing, tape


class Device:
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
    """Streams of the stand-in run at once; capturing one records what is done."""

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
    def __init__(self, actions):
        self.actions = actions

    def launch(self, stream=None):
        for action in self.actions:
            action()

    def upload(self, stream=None):
        pass


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.seconds = None

    def record(self, stream=None):
        self.seconds = perf_counter()

    def synchronize(self):
        pass

    done = True


class MemoryPool:
    def __init__(self, allocator=None):
        pass

    def malloc(self, size):
        raise AssertionError("the stand-in's arrays have memory of their own")

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
    token = current_allocator.set(None if allocator == pool.malloc else allocator)
    try:
        yield
    finally:
        current_allocator.reset(token)


def alloc_pinned_memory(size):
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
