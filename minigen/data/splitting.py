"""Which rows of a data set are held out for the test: a part of each class."""

import numpy as np

from minigen.random import Generator


def held_out(labels: np.ndarray, fraction: float, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """The rows for training and the rows for the test, both in random order.

    The fraction is taken of each class of labels (N,), rounded, but at least one row and never all:
    the only row of a class is for training. Raises ValueError unless 0 < fraction < 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"test_fraction must be between 0 and 1, got {fraction!r}")
    order = rng.permutation(len(labels))
    ranks, sizes = ranks_in_class(labels[order]), np.bincount(labels)
    tested = np.minimum(np.rint(fraction * sizes).clip(1), sizes - 1)[labels[order]]
    return order[ranks >= tested], order[ranks < tested]


def ranks_in_class(labels: np.ndarray) -> np.ndarray:
    """The number of each row of labels (N,) among those of its class: 0, 1, ..."""
    by_class = np.argsort(labels, kind="stable")
    y, ranks = labels[by_class], np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(y)) - np.searchsorted(y, y)
    return ranks
