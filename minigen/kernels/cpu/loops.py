"""Loops over elements or rows, in pieces on several threads."""

from collections.abc import Callable

import numpy as np

from minigen import threads


def flat(x: np.ndarray) -> np.ndarray:
    """x as one C-ordered axis: a view where it can be."""
    return np.ascontiguousarray(x).reshape(-1)


def over(loop: Callable, arrays: list[np.ndarray], nanoseconds: float, *constants) -> None:
    """loop(*arrays, *constants), with the first axis of all arrays cut in pieces.

    nanoseconds: about so many an element of the first array takes.
    """
    work = arrays[0].size * nanoseconds
    if work < 2 * threads.PIECE:
        loop(*arrays, *constants)
        return
    cuts = threads.spans(len(arrays[0]), work)
    threads.run(loop, [(*(x[s] for x in arrays), *constants) for s in cuts])
