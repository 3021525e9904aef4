"""What a captured graph of the stand-in contains: actions on memory, repeated at each launch."""

from contextvars import ContextVar

allocator: ContextVar = ContextVar("allocator", default=None)  # a MemoryPool's malloc, or None
CUBLAS = "cuBLAS through CuPy"
tape: ContextVar[list | None] = ContextVar("tape", default=None)  # the actions captured so far


def perform(action):
    """Run the action now or, while a stream is captured, at each launch of the graph."""
    actions = tape.get()
    if actions is None:
        action()
    else:
        actions.append(action)


def recorded(result, action):
    """result; while a stream is captured, the action, which computes it anew, is captured."""
    if tape.get() is not None:
        perform(action)
    return result


def held(memory):
    """memory; while a stream is captured, the graph keeps it alive, as a pool of CuPy does."""
    if tape.get() is not None:
        perform(lambda: memory)
    return memory


def refuse_while_capturing(operation):
    """RuntimeError, as from CUDA, if a stream is captured; the capture is then invalid."""
    if tape.get() is not None:
        tape.get().append(None)  # marks the capture as failed
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {operation}")
