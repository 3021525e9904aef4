"""Cases of indexing and its adjoint, with every form of index that NumPy has."""

import numpy as np

from minigen.testing.case import Case
from minigen.testing.choices import Choices


def draw_slice(c: Choices, n: int) -> slice:
    """A slice of an axis of length n, of either direction; its ends may be out of range."""
    ends = [c.pick((None, c.integer(-n - 2, n + 2))) for _ in range(2)]
    return slice(*ends, c.pick((None, 1, 2, -1, -2)))


def draw_integers(c: Choices, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Indices into an axis of length n > 0: positive and negative, perhaps with duplicates."""
    return c.integer_array(shape, -n, n).astype(c.pick((np.int64, np.int32)))


def draw_index(c: Choices, shape: tuple[int, ...]):
    """Any index of an array of that shape."""
    forms = ["basic", "mask", "ellipsis"]
    if shape and all(shape):
        forms += ["integers", "list", "tuples", "mixed", "product", "partial mask"]
    form = c.pick(forms)
    if form == "integers":
        return draw_integers(c, shape[0], c.shape(max_dims=2, max_side=4))
    if form == "list":
        return draw_integers(c, shape[0], (c.integer(0, 4),)).tolist()
    if form == "tuples":  # NumPy reads each as an integer array
        count = c.integer(0, 3)
        rows = [draw_integers(c, n, (count,)) for n in shape[: c.integer(1, len(shape))]]
        return tuple(tuple(row.tolist()) for row in rows)
    if form == "mask":
        return c.mask(shape)
    if form == "partial mask":
        return c.mask(shape[: c.integer(1, len(shape))])
    if form == "product":  # integer arrays for all axes, broadcast against each other
        shapes = [c.narrowed((2, 3)) for _ in shape]
        return tuple(draw_integers(c, n, s) for n, s in zip(shape, shapes))
    parts = [_basic(c, n) for n in shape[: c.integer(0, len(shape))]]
    if form == "mixed":
        axis = c.integer(0, len(shape) - 1)
        parts = [_basic(c, n) for n in shape]
        parts[axis] = draw_integers(c, shape[axis], (c.integer(0, 3),))
        return tuple(parts)
    if form == "ellipsis":
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
    """x with updates added at index, one element after the other: duplicates add up."""
    y = (x + 0 * updates.sum()).reshape(-1)  # of the dtype of the result
    flat = np.asarray(np.arange(x.size).reshape(x.shape)[index])
    for i, update in zip(flat.flat, np.broadcast_to(updates, flat.shape).flat):
        y[i] += update
    return y.reshape(x.shape)


def _take_along_axis(c):
    shape = c.shape(min_dims=1, min_side=1)
    axis = c.axis(len(shape))
    full = list(shape)
    full[axis] = c.integer(0, 4)
    length = shape[axis]
    index = [1 if c.integer(0, 3) == 0 else n for n in full]
    index[axis] = full[axis]
    x = [1 if c.integer(0, 3) == 0 else n for n in shape]
    x[axis] = length
    return (c.array(tuple(x)), draw_integers(c, length, tuple(index)), axis), {}


def take_along_axis(x, index, axis):
    """x and index, broadcast along the other axes, then one element after the other."""
    full = [max(m, n) for m, n in zip(x.shape, index.shape)]
    full[axis] = x.shape[axis]
    x = np.broadcast_to(x, full)
    full[axis] = index.shape[axis]
    return gather(x, axis, np.broadcast_to(index, full))


def _gather(c):
    shape = c.shape(min_dims=1, min_side=1)
    axis = c.axis(len(shape))
    index = [c.pick((n, c.integer(0, n))) for n in shape]
    index[axis] = c.integer(0, 4)
    return (c.array(shape), axis, c.integer_array(tuple(index), 0, shape[axis])), {}


def gather(x, axis, index):
    y = np.empty(index.shape, x.dtype)
    for i in np.ndindex(*index.shape):
        source = list(i)
        source[axis] = index[i]
        y[i] = x[tuple(source)]
    return y


def _repeat(c):
    shape = c.shape(max_dims=3)
    axis = c.pick((None, *range(-len(shape), len(shape))))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    repeats = c.pick((c.integer(0, 3), c.integer_array((n,), 0, 4), c.integer_array((1,), 0, 4)))
    return (c.array(shape), repeats, axis), {}


def _embedding(c):
    weight = (c.integer(1, 5), c.integer(0, 4))
    index = c.integer_array(c.shape(max_dims=3, max_side=4), 0, weight[0])
    return (index, c.array(weight)), {}


INDEXING = {
    "getitem": Case(lambda x, index: np.asarray(x[index]), _getitem),
    "scatter": Case(lambda g, index, shape: scatter_add(np.zeros(shape), index, g), _scatter),
    "scatter_add": Case(scatter_add, _scatter_add),
    "take_along_axis": Case(take_along_axis, _take_along_axis),
    "gather": Case(gather, _gather),
    "repeat": Case(np.repeat, _repeat),
    "embedding": Case(lambda index, weight: weight[index], _embedding),
}
