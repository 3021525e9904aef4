"""What the stand-in's operations go through: they run, or a captured graph repeats them."""

from collections import Counter
from contextvars import ContextVar

allocator: ContextVar = ContextVar("allocator", default=None)  # a MemoryPool's malloc, or None
CUBLAS = "cuBLAS through CuPy"
tape: ContextVar[list | None] = ContextVar("tape", default=None)  # the actions captured so far
current: ContextVar[int] = ContextVar("current", default=0)  # the ptr of the current stream
operations: Counter = Counter()  # the number of operations that were put in each stream, by its ptr


def perform(action):
    """Run the action now or, while a stream is captured, at each launch of the graph."""
    operations[current.get()] += 1
    enqueue(action)


def enqueue(action):
    """As perform, for what is no operation of the current stream."""
    actions = tape.get()
    if actions is None:
        action()
    else:
        actions.append(action)


def recorded(result, action):
    """result; while a stream is captured, the action, which computes it anew, is captured."""
    operations[current.get()] += 1
    if tape.get() is not None:
        enqueue(action)
    return result


def held(memory):
    """memory; while a stream is captured, the graph keeps it alive, as a pool of CuPy does."""
    if tape.get() is not None:
        enqueue(lambda: memory)
    return memory


def refuse_while_capturing(operation):
    """RuntimeError, as from CUDA, if a stream is captured; the capture is then invalid."""
    if tape.get() is not None:
        tape.get().append(None)  # marks the capture as failed
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {operation}")
