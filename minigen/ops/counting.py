"""Ops that count, compare or round. Only the values that sort and topk give have a derivative.

Of a tensor they give tensors. NaN counts as the largest value, as in NumPy's sort.
"""

import numpy as np

from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.ops.indexing import along_axis, getitem
from minigen.ops.reduce import Axis, axes_of
from minigen.ops.shape import axis_index


@primitive(None)
def argmax(x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest value along axis, by default in the flattened x.

    ShapeError for no values.
    """
    return np.argmax(_not_empty("argmax", x, axis), axis, keepdims=keepdims)


@primitive(None)
def argmin(x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest value along axis, by default in the flattened x.

    ShapeError for no values.
    """
    return np.argmin(_not_empty("argmin", x, axis), axis, keepdims=keepdims)


def _not_empty(name, x, axis):
    """x; ShapeError if there is no such axis, or no value along it."""
    if (x.size if axis is None else x.shape[axis_index(axis, x.ndim)]) == 0:
        raise ShapeError(f"{name} of nothing: axis {axis} of shape {x.shape} has no values")
    return x


@primitive(None)
def any(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any value over axis is not 0."""
    return np.any(x, axes_of(axis, x.ndim), keepdims=keepdims)


@primitive(None)
def all(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether no value over axis is 0."""
    return np.all(x, axes_of(axis, x.ndim), keepdims=keepdims)


@primitive(None)
def isfinite(x: Array) -> Array:
    """Whether each value is neither infinite nor NaN."""
    return np.isfinite(x)


@primitive(None)
def isinf(x: Array) -> Array:
    """Whether each value is infinite, of either sign."""
    return np.isinf(x)


@primitive(None)
def isnan(x: Array) -> Array:
    """Whether each value is NaN."""
    return np.isnan(x)


@primitive(None)
def floor(x: Array) -> Array:
    """The largest integer <= x, elementwise."""
    return np.floor(x)


@primitive(None)
def ceil(x: Array) -> Array:
    """The smallest integer >= x, elementwise."""
    return np.ceil(x)


@primitive(None)
def round(x: Array, *, decimals: int = 0) -> Array:
    """x rounded to a number of decimals; a value midway is rounded to the even digit."""
    return np.round(x, decimals).copy()  # of integers it may be x itself


@primitive(None)
def argsort(x: Array, *, axis: int = -1, descending: bool = False) -> Array:
    """The indices that sort x along axis; those of equal values in their order in x."""
    axis = axis_index(axis, x.ndim)
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # An ascending sort of the reversed x, read backward: descending, equal values in their order.
    return np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


@composite
def sort(x: Array, axis: int = -1, descending: bool = False) -> tuple[Array, Array]:
    """(values, indices): the values along axis in order, and where each stood in x.

    Equal values stay in their order. The gradient of a value goes to where it stood.
    """
    return topk(x, x.shape[axis_index(axis, x.ndim)], axis, descending)


@composite
def topk(x: Array, k: int, axis: int = -1, largest: bool = True) -> tuple[Array, Array]:
    """(values, indices) of the k largest values along axis, or smallest, with gradients as of sort.

    Both have length k along axis, the most extreme value first, equal ones by index. ShapeError
    unless 0 <= k <= the length.
    """
    axis = axis_index(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ShapeError(
            f"topk: k must be from 0 to the length of axis {axis} of shape {x.shape}, got {k}"
        )
    first = (*[slice(None)] * axis, slice(k))
    index = argsort(x, axis, largest)[first]
    return getitem(x, along_axis(axis, raw(index), index.shape)), index
