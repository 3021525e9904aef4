"""Loops over elements, in pieces on several threads."""

from collections.abc import Callable

import numpy as np

from minigen import threads


def flat(x: np.ndarray) -> np.ndarray:
    """x as one C-ordered axis: a view where it can be."""
    return np.ascontiguousarray(x).reshape(-1)


def over(loop: Callable, arrays: list[np.ndarray], nanoseconds: float, *constants) -> None:
    """loop(*arrays, *constants) for flat arrays, at about so many nanoseconds an element."""
    size = arrays[-1].size
    if size * nanoseconds < 2 * threads.PIECE:
        loop(*arrays, *constants)
        return
    cuts = threads.spans(size, size * nanoseconds)
    threads.run(loop, [(*(x[s] for x in arrays), *constants) for s in cuts])
