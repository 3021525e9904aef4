"""Loops over elements or rows, in pieces on several threads."""

from collections.abc import Callable

import numpy as np

from minigen.parallel import pool
from minigen.parallel.pieces import shares


def flat(x: np.ndarray) -> np.ndarray:
    """x as one C-ordered axis: a view where it can be."""
    return x.ravel()


def over(loop: Callable, arrays: list[np.ndarray], nanoseconds: float, *constants) -> None:
    """loop(*arrays, *constants), with the first axis of all arrays cut in pieces.

    nanoseconds: about so many an element of the first array takes.
    """
    work = arrays[0].size * nanoseconds
    cuts = shares(len(arrays[0]), work)
    if len(cuts) == 1:
        loop(*arrays, *constants)
    else:
        pool.run(loop, [(*(x[s] for x in arrays), *constants) for s in cuts])


def over_all(loop: Callable, rows: list[list[np.ndarray]], nanoseconds: float, *constants) -> None:
    """loop(*row, *constants) for each row of flat arrays, as one job for the pool.

    Pieces are of one size, whatever the arrays': several small ones, or a part of a large one.
    """
    total = sum(len(row[0]) for row in rows)
    pieces = shares(total, total * nanoseconds)
    if len(pieces) == 1:
        _each(loop, rows, constants)
    else:
        parts = _strung(rows, -(-total // len(pieces)))
        pool.run(_each, [(loop, part, constants) for part in parts])


def _each(loop, rows, constants):
    for row in rows:
        loop(*row, *constants)


def _strung(rows, size):
    """The rows as lists of `size` elements, in which rows that do not fit are cut."""
    lists, room = [[]], size
    for row in rows:
        while len(row[0]) > room:
            lists[-1].append([x[:room] for x in row])
            row, room = [x[room:] for x in row], size
            lists.append([])
        lists[-1].append(row)
        room -= len(row[0])
    return lists
