"""Rules that misuse memory: each returns the right gradient, but also changes another array."""

import numpy as np


def _writes_to_cotangent(rule):
    """A rule that halves the cotangent after the gradient is computed."""

    def wrong(g, *rest, **static):
        gradient = rule(g, *rest, **static)
        for x in g if type(g) is tuple else (g,):
            if isinstance(x, np.ndarray) and x.flags.writeable and gradient is not None:
                gradient = gradient.copy()
                x *= 0.5
        return gradient

    return wrong


def _writes_to_saved(rule):
    """A rule that changes the saved values after the gradient is computed."""

    def wrong(*args, **static):
        gradient = rule(*args, **static)
        for x in args[1:]:
            if isinstance(x, np.ndarray) and x.dtype.kind in "fb" and x.flags.writeable:
                gradient = None if gradient is None else gradient.copy()
                x[...] = x + 0.25 if x.dtype.kind == "f" else ~x
        return gradient

    return wrong


def _keeps_returned(rule):
    """A rule that returns an array to which its next call writes."""
    returned = []

    def wrong(*args, **static):
        gradient = rule(*args, **static)
        if not isinstance(gradient, np.ndarray):
            return gradient
        for x in returned:
            x += 1.0
        returned[:] = [gradient.copy()]
        return returned[0]

    return wrong


WRITES_SAVED = "writes into what was saved"
MISUSES = {  # mistake: from the right rule to the wrong one
    "writes into its cotangent": _writes_to_cotangent,
    WRITES_SAVED: _writes_to_saved,
    "keeps what it returns": _keeps_returned,
}
