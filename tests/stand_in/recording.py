"""What a captured graph of the stand-in holds: actions on memory, done again at each launch."""

from contextvars import ContextVar

allocator: ContextVar = ContextVar("allocator", default=None)  # of a pool of one's own
CUBLAS = "cuBLAS by way of CuPy"
tape: ContextVar[list | None] = ContextVar("tape", default=None)


def perform(action):
    """Do it now or, while a stream is captured, at each launch of the graph."""
    actions = tape.get()
    if actions is None:
        action()
    else:
        actions.append(action)


def recorded(result, action):
    """While a stream is captured, have action done again at each launch, for what it returned."""
    if tape.get() is not None:
        perform(action)
    return result


def held(memory):
    """While a stream is captured, keep memory for the launches, as a pool of CuPy's does."""
    if tape.get() is not None:
        perform(lambda: memory)
    return memory


def refuse_while_capturing(what):
    if tape.get() is not None:
        tape.get().append(None)  # this capture has failed
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what}")
