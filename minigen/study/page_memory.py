"""The memory that the page shows: the bytes alive at each step by category, and ends of values."""

from typing import Any

import numpy as np

from minigen.study.lifetimes import CATEGORIES, Lifetimes
from minigen.study.temporaries import Cost


def lifetimes_of(run: Any) -> Lifetimes:
    """When the blocks of a run are alive; without temporaries, for which ops would run again."""
    costs = [Cost()] * len(run.steps)
    return Lifetimes(run.steps, run.values, run.passes, run.blocks, costs)


def bytes_alive(lifetimes: Lifetimes, steps: int) -> list[dict[str, Any]]:
    """For each category of memory that occurs, its name and the bytes alive at each step.

    Of the two moments of a step, while it runs and after it, those of the one with the higher sum.
    """
    change = np.zeros((len(CATEGORIES), 2 * steps + 2), np.int64)
    names = list(CATEGORIES)
    for life in lifetimes.lives:
        for first, last, category in life.parts():
            change[names.index(category), first] += life.block.nbytes
            change[names.index(category), last + 1] -= life.block.nbytes
    alive = np.cumsum(change, axis=1)[:, : 2 * steps].reshape(len(names), steps, 2)
    later = np.argmax(alive.sum(0), axis=1)  # 1 where more is alive after the step
    found = np.take_along_axis(alive, later[None, :, None], axis=2)[:, :, 0]
    return [
        {"key": key, "name": name, "bytes": row.tolist()}
        for (key, name), row in zip(CATEGORIES.items(), found)
        if row.any()
    ]


def last_steps(lifetimes: Lifetimes, steps: int) -> dict[int, int]:
    """The number of a value -> the last step at which its memory is alive, unless it outlives all.

    Values that were written over later, in the same memory, are not told apart.
    """
    found = {}
    for number, lives in lifetimes.of_value.items():
        last = max((life.last for life in lives if life.first <= life.last), default=2 * steps)
        if last < 2 * steps:
            found[number] = last // 2
    return found
