"""Ops without a derivative. They take tensors too, and return raw arrays."""

import numpy as np

from minigen.autodiff.primitives import composite, raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import checked
from minigen.errors import ShapeError
from minigen.ops.reduce import Axis, axes_of
from minigen.ops.shape import axis_index


def _values(x):
    return checked([raw(x)])[0]


@composite
def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the largest value along axis, the first of several; None: in C order."""
    return np.argmax(_some("argmax", _values(x), axis), axis, keepdims=keepdims)


@composite
def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the smallest value along axis, the first of several; None: in C order."""
    return np.argmin(_some("argmin", _values(x), axis), axis, keepdims=keepdims)


def _some(name, x, axis):
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
    """The largest whole number not above x."""
    return np.floor(_values(x))


@composite
def round(x: Array, decimals: int = 0) -> Array:
    """x to so many decimals, halves to the even neighbour."""
    return np.round(_values(x), decimals)


@composite
def sort(x: Array, axis: int = -1) -> Array:
    """The values along axis in ascending order."""
    return np.sort(_values(x), axis_index(axis, x.ndim))


@composite
def topk(x: Array, k: int, axis: int = -1) -> tuple[Array, Array]:
    """The k largest values along axis in descending order, and their indices."""
    x, axis = _values(x), axis_index(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ShapeError(f"topk: k = {k} of axis {axis} of shape {x.shape}")
    # sorting the reversed values puts the first of equal ones first again when read backward
    order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    index = array_module(x).take(order, array_module(x).arange(k), axis)
    return np.take_along_axis(x, index, axis), index
