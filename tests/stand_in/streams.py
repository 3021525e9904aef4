"""Streams, events and captured graphs of the stand-in.

Operations run at once, whatever their stream: what one stream does too early for another is not
seen. Work of NCCL (nccl.py) is different. It runs as late as it may, which is when a stream waits
for an event behind it; until then its result is NaN. An array that is written too early changes
the sum. And `operations` and `Stream.seen` say what a stream has waited for.
"""

from itertools import count
from time import perf_counter
from weakref import WeakValueDictionary

from stand_in.recording import current, enqueue, operations, refuse_while_capturing, tape

_numbers = count()
by_ptr: WeakValueDictionary = WeakValueDictionary()


class Stream:
    """A stream; while it is captured, operations are put on the tape."""

    null = None

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = next(_numbers)
        self.seen = {}  # the number of operations of other streams that it has waited for, by ptr
        self.late = []  # work of NCCL in it, or that it waits for
        self.capture = None
        self._outer, self._token = [], None
        by_ptr[self.ptr] = self

    def __enter__(self):
        self._outer.append(current.set(self.ptr))
        return self

    def __exit__(self, *_):
        current.reset(self._outer.pop())

    def use(self):
        current.set(self.ptr)
        return self

    def synchronize(self):
        refuse_while_capturing("synchronize")
        _run(self.late)

    def record(self, event=None):
        event = event or Event()
        event.recorded_on(self)
        return event

    def wait_event(self, event):
        if event.capture is not None and event.capture.ended:
            raise RuntimeError("cudaErrorCapturedEvent: an event of a capture that has ended")
        if self.capture is not None and event.capture is not self.capture:
            raise RuntimeError("cudaErrorStreamCaptureIsolation: an event outside of the capture")
        if event.capture is not None:
            self.capture = event.capture
            self.capture.streams.append(self)
        for ptr, number in event.seen.items():
            self.seen[ptr] = max(number, self.seen.get(ptr, 0))
        for work in event.late:
            enqueue(work.run)
        self._keep(event.late)

    def put_late(self, action):
        """Put work in the stream that runs when something waits for it."""
        operations[self.ptr] += 1
        work = Late(action)
        enqueue(work.put_off)
        self._keep([work])

    def _keep(self, works):
        """Add to the list of late work; what has run is dropped."""
        late = dict.fromkeys([*self.late, *works])
        self.late = [work for work in late if work.waiting or self.capture is not None]

    def begin_capture(self, mode=None):
        self.capture, self._token = Capture(self), tape.set([])

    def end_capture(self):
        actions, capture = tape.get(), self.capture
        tape.reset(self._token)
        unjoined = [s for s in capture.streams if self.seen.get(s.ptr, 0) < operations[s.ptr]]
        capture.ended = True
        for stream in (self, *capture.streams):
            stream.capture, stream.late = None, []
        if None in actions:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        if [s for s in unjoined if s is not self]:
            raise RuntimeError("cudaErrorStreamCaptureUnjoined")
        return Graph(actions)

    def is_capturing(self):
        return self.capture is not None


class Capture:
    """A capture that a stream has begun, and the streams that have joined it by its events."""

    def __init__(self, stream):
        self.streams, self.ended = [], False


class Graph:
    """The actions of a capture, which each launch runs in order."""

    def __init__(self, actions):
        self.actions = actions

    def launch(self, stream=None):
        operations[current.get() if stream is None else stream.ptr] += 1
        for action in self.actions:
            action()

    def upload(self, stream=None):
        pass


class Event:
    """An event: which operations precede it, and when the host recorded it."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.seconds, self.seen, self.late, self.capture = None, {}, [], None

    def record(self, stream=None):
        self.recorded_on(Stream.null if stream is None else stream)

    def recorded_on(self, stream):
        self.seconds, self.capture, self.late = perf_counter(), stream.capture, list(stream.late)
        self.seen = {**stream.seen, stream.ptr: operations[stream.ptr]}

    def synchronize(self):
        refuse_while_capturing("synchronize")
        _run(self.late)

    done = True


class Late:
    """Work that runs when something waits for it; a graph puts it off at each launch."""

    def __init__(self, action):
        self.action, self.waiting = action, False

    def put_off(self):
        self.waiting = True

    def run(self):
        if self.waiting:
            self.waiting = False
            self.action()


def _run(late):
    for work in late:
        work.run()


def synchronize_device():
    """Run what was put off in all streams."""
    refuse_while_capturing("synchronize")
    for stream in list(by_ptr.values()):
        _run(stream.late)


null_stream = Stream.null = Stream()
