"""The memory that the page shows: the bytes alive at each step by category, and ends of values."""

from typing import Any

from minigen.study.lifetimes import CATEGORIES, Lifetimes, highest_moments
from minigen.study.temporaries import CallMemory


def lifetimes_of(run: Any) -> Lifetimes:
    """When the blocks of a run are alive; without temporaries, for which ops would run again."""
    costs = [CallMemory()] * len(run.steps)
    return Lifetimes(run.steps, run.values, run.passes, run.blocks, costs)


def bytes_alive(lifetimes: Lifetimes) -> list[dict[str, Any]]:
    """For each category of memory that occurs, its name and the bytes alive at each step."""
    alive = lifetimes.bytes_alive()
    moments = highest_moments(alive.sum(0))[:-1]
    return [
        {"key": key, "name": name, "bytes": row.tolist()}
        for (key, name), row in zip(CATEGORIES.items(), alive[:, moments])
        if row.any()
    ]


def last_steps(lifetimes: Lifetimes) -> dict[int, int]:
    """The number of a value -> the last step at which its memory is alive, unless it outlives all.

    Values that were written over later, in the same memory, are not told apart.
    """
    found = {}
    for number, lives in lifetimes.of_value.items():
        ends = (life.last for life in lives if life.first <= life.last)
        last = max(ends, default=lifetimes.end)
        if last < lifetimes.end:
            found[number] = last // 2
    return found
