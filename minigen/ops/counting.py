"""Ops without a derivative: they take tensors or arrays, and return raw arrays."""

import numpy as np

from minigen.autodiff.primitives import composite, raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import checked
from minigen.errors import ShapeError
from minigen.ops.reduce import Axis, axes_of
from minigen.ops.shape import axis_index


def _values(x):
    """The raw array of x; DTypeError if its dtype is not supported."""
    return checked([raw(x)])[0]


@composite
def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest value along axis, by default in the flattened x.

    ShapeError for no values.
    """
    return np.argmax(_not_empty("argmax", _values(x), axis), axis, keepdims=keepdims)


@composite
def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest value along axis, by default in the flattened x.

    ShapeError for no values.
    """
    return np.argmin(_not_empty("argmin", _values(x), axis), axis, keepdims=keepdims)


def _not_empty(name, x, axis):
    """x; ShapeError if it has no values or not that axis."""
    if axis is not None:
        axis_index(axis, x.ndim)
    if x.size == 0:
        raise ShapeError(f"{name} of nothing: axis {axis} of shape {x.shape} has no values")
    return x


@composite
def any(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any value over axis is not 0."""
    return np.any(_values(x), axes_of(axis, x.ndim), keepdims=keepdims)


@composite
def all(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether no value over axis is 0."""
    return np.all(_values(x), axes_of(axis, x.ndim), keepdims=keepdims)


@composite
def isfinite(x: Array) -> Array:
    """Whether each value is neither infinite nor NaN."""
    return np.isfinite(_values(x))


@composite
def floor(x: Array) -> Array:
    """The largest integer <= x, elementwise."""
    return np.floor(_values(x))


@composite
def round(x: Array, decimals: int = 0) -> Array:
    """x rounded to a number of decimals; a value midway is rounded to the even digit."""
    return np.round(_values(x), decimals)


@composite
def sort(x: Array, axis: int = -1) -> Array:
    """The values along axis in ascending order."""
    return np.sort(_values(x), axis_index(axis, x.ndim))


@composite
def topk(x: Array, k: int, axis: int = -1) -> tuple[Array, Array]:
    """(values, indices) of the k largest values along axis, which has length k in both.

    They are in descending order, equal values by index. ShapeError unless 0 <= k <= the length.
    """
    x, axis = _values(x), axis_index(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ShapeError(f"topk: k = {k} of axis {axis} of shape {x.shape}")
    # A stable ascending sort of the reversed x, read backward: descending, equal values by index.
    order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    index = array_module(x).take(order, array_module(x).arange(k), axis)
    return np.take_along_axis(x, index, axis), index
