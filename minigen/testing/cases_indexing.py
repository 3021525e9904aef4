"""Cases of indexing and its adjoint: every kind of index that NumPy has."""

import numpy as np

from minigen.testing.case import Case
from minigen.testing.choices import Choices


def draw_slice(c: Choices, n: int) -> slice:
    """A slice of a side n, with steps of either sign, and ends that may lie outside."""
    ends = [c.pick((None, c.integer(-n - 2, n + 2))) for _ in range(2)]
    return slice(*ends, c.pick((None, 1, 2, -1, -2)))


def draw_integers(c: Choices, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Integers that index a side n > 0, from both ends and with duplicates."""
    return c.whole(shape, -n, n).astype(c.pick((np.int64, np.int32)))


def draw_index(c: Choices, shape: tuple[int, ...]):
    """Any index of an array of that shape."""
    kinds = ["basic", "mask", "ellipsis"]
    if shape and all(shape):
        kinds += ["integers", "list", "tuples", "mixed", "product", "partial mask"]
    kind = c.pick(kinds)
    if kind == "integers":
        return draw_integers(c, shape[0], c.shape(max_dims=2, max_side=4))
    if kind == "list":
        return draw_integers(c, shape[0], (c.integer(0, 4),)).tolist()
    if kind == "tuples":  # each stands for an integer array
        count = c.integer(0, 3)
        rows = [draw_integers(c, n, (count,)) for n in shape[: c.integer(1, len(shape))]]
        return tuple(tuple(row.tolist()) for row in rows)
    if kind == "mask":
        return c.mask(shape)
    if kind == "partial mask":
        return c.mask(shape[: c.integer(1, len(shape))])
    if kind == "product":  # integer arrays for all axes, broadcast against each other
        shapes = [c.narrowed((2, 3)) for _ in shape]
        return tuple(draw_integers(c, n, s) for n, s in zip(shape, shapes))
    parts = [_basic(c, n) for n in shape[: c.integer(0, len(shape))]]
    if kind == "mixed":
        at = c.integer(0, len(shape) - 1)
        parts = [_basic(c, n) for n in shape]
        parts[at] = draw_integers(c, shape[at], (c.integer(0, 3),))
        return tuple(parts)
    if kind == "ellipsis":
        parts = [..., *(_basic(c, n) for n in shape[len(shape) - len(parts) :])]
    if c.flag():
        parts.insert(c.integer(0, len(parts)), None)
    return parts[0] if len(parts) == 1 and c.flag() else tuple(parts)


def _basic(c, n):
    return c.integer(-n, n - 1) if n and c.flag() else draw_slice(c, n)


def _getitem(c):
    shape = c.shape()
    return (c.array(shape), draw_index(c, shape)), {}


def _scatter(c):
    shape = c.shape()
    index = draw_index(c, shape)
    if isinstance(index, list):  # the rule of getitem passes arrays only
        index = np.array(index, int)
    elif isinstance(index, tuple):
        index = tuple(np.array(p, int) if isinstance(p, tuple) else p for p in index)
    return (c.array(np.empty(shape)[index].shape), index, shape), {}


def _scatter_add(c):
    shape = c.shape()
    index = draw_index(c, shape)
    updates = c.narrowed(np.empty(shape)[index].shape)
    return (c.array(shape), index, c.array(updates)), {}


def scatter_add(x, index, updates):
    """One element after the other."""
    y = (x + 0 * updates.sum()).reshape(-1)  # of the dtype of the result
    places = np.asarray(np.arange(x.size).reshape(x.shape)[index])
    for place, update in zip(places.flat, np.broadcast_to(updates, places.shape).flat):
        y[place] += update
    return y.reshape(x.shape)


def _take_along_axis(c):
    shape = c.shape(min_dims=1, min_side=1)
    axis = c.axis(len(shape))
    sides = [c.pick((n, c.integer(0, n))) for n in shape]
    sides[axis] = c.integer(0, 4)
    return (c.array(shape), draw_integers(c, shape[axis], tuple(sides)), axis), {}


def take_along_axis(x, index, axis):
    y = np.empty(index.shape, x.dtype)
    for place in np.ndindex(*index.shape):
        source = list(place)
        source[axis] = index[place]
        y[place] = x[tuple(source)]
    return y


def _repeat(c):
    shape = c.shape(max_dims=3)
    axis = c.pick((None, *range(-len(shape), len(shape))))
    side = int(np.prod(shape)) if axis is None else shape[axis]
    repeats = c.pick((c.integer(0, 3), c.whole((side,), 0, 4), c.whole((1,), 0, 4)))
    return (c.array(shape), repeats, axis), {}


def _embedding(c):
    weight = (c.integer(1, 5), c.integer(0, 4))
    index = c.whole(c.shape(max_dims=3, max_side=4), 0, weight[0])
    return (index, c.array(weight)), {}


INDEXING = {
    "getitem": Case(lambda x, index: np.asarray(x[index]), _getitem),
    "scatter": Case(lambda g, index, shape: scatter_add(np.zeros(shape), index, g), _scatter),
    "scatter_add": Case(scatter_add, _scatter_add),
    "take_along_axis": Case(take_along_axis, _take_along_axis),
    "repeat": Case(np.repeat, _repeat),
    "embedding": Case(lambda index, weight: weight[index], _embedding),
}
