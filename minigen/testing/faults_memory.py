"""Rules that misuse memory: each returns the right gradient and changes an array behind it."""

import numpy as np


def _writes_to_cotangent(rule):
    """A right gradient, but g is changed behind it."""

    def wrong(g, *rest, **static):
        part = rule(g, *rest, **static)
        for x in g if type(g) is tuple else (g,):
            if isinstance(x, np.ndarray) and x.flags.writeable and part is not None:
                part = part.copy()
                x *= 0.5
        return part

    return wrong


def _writes_to_arguments(rule):
    """A right gradient, but what was saved is changed behind it."""

    def wrong(*args, **static):
        part = rule(*args, **static)
        for x in args[1:]:
            if isinstance(x, np.ndarray) and x.dtype.kind in "fb" and x.flags.writeable:
                part = None if part is None else part.copy()
                x[...] = x + 0.25 if x.dtype.kind == "f" else ~x
        return part

    return wrong


def _keeps(rule):
    """A right gradient, in an array that the next call writes to."""
    returned = []

    def wrong(*args, **static):
        part = rule(*args, **static)
        if not isinstance(part, np.ndarray):
            return part
        for x in returned:
            x += 1.0
        returned[:] = [part.copy()]
        return returned[0]

    return wrong


SAVED = "writes into what was saved"
MEMORY = {
    "writes into its cotangent": _writes_to_cotangent,
    SAVED: _writes_to_arguments,
    "keeps what it returns": _keeps,
}
