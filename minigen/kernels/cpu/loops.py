"""Compiled loops over elements or rows, cut into tasks for the thread pool."""

from collections.abc import Callable

import numpy as np

from minigen.parallel import pool
from minigen.parallel.pieces import shares


def flat(x: np.ndarray) -> np.ndarray:
    """x as one axis in C order: a view where x is contiguous, else a copy."""
    return x.ravel()


def parallel_for(
    loop: Callable, arrays: list[np.ndarray], ns_per_element: float, *constants
) -> None:
    """loop(*arrays, *constants), with the first axis of all arrays cut into tasks for the pool.

    ns_per_element: nanoseconds that one thread takes for an element of the first array, roughly.
    """
    slices = shares(len(arrays[0]), arrays[0].size * ns_per_element)
    if len(slices) == 1:
        loop(*arrays, *constants)
    else:
        pool.run(loop, [(*(x[s] for x in arrays), *constants) for s in slices])


def parallel_for_groups(
    loop: Callable, groups: list[list[np.ndarray]], ns_per_element: float, *constants
) -> None:
    """loop(*group, *constants) for each group of flat arrays of one length, as one job.

    All tasks have the same number of elements: several small groups, or a part of a large one.
    """
    total = sum(len(group[0]) for group in groups)
    num_tasks = len(shares(total, total * ns_per_element))
    if num_tasks == 1:
        _run_groups(loop, groups, constants)
    else:
        tasks = _split_groups(groups, -(-total // num_tasks))
        pool.run(_run_groups, [(loop, task, constants) for task in tasks])


def _run_groups(loop, groups, constants):
    """loop(*group, *constants) for each of groups: a task."""
    for group in groups:
        loop(*group, *constants)


def _split_groups(groups, size):
    """The groups as lists of `size` elements in all; a group that does not fit is split."""
    lists, free = [[]], size
    for group in groups:
        while len(group[0]) > free:
            lists[-1].append([x[:free] for x in group])
            group, free = [x[free:] for x in group], size
            lists.append([])
        lists[-1].append(group)
        free -= len(group[0])
    return lists
