"""Indexing with any NumPy index, and its adjoint, which adds values at an index."""

import math
from typing import Any

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import composite, fixed, primitive, raw
from minigen.backend.arrays import Array, Shape, array_module, is_cupy
from minigen.backend.devices import capturing, to_numpy
from minigen.backend.dtypes import PYTHON_SCALARS, as_array, check_dtype, promoted
from minigen.errors import DTypeError, ShapeError
from minigen.kernels.reference.sums import SHORT
from minigen.ops.elementwise import add
from minigen.ops.shape import axis_index, broadcast_to, reshape

LARGEST_INT64 = 2**63 - 1


@primitive(lambda g, y, x, index: scatter(g, index, x.shape), views=True, returns_new=True)
def _getitem(x, *, index):
    return x[index]


@primitive(lambda g, y, updates, index, shape: _getitem(g, index=index))
def scatter(updates: Array, *, index, shape: Shape) -> Array:
    """Zeros of that shape with updates added at index; elements named twice get the sum."""
    out = array_module(updates).zeros(shape, updates.dtype)
    parts = index if type(index) is tuple else (index,)
    if not any(map(_is_integers, parts)):
        out[index] = updates  # no sum is needed: ints, slices and masks name no element twice
    elif len(parts) == 1 and out.size:
        rows = parts[0].reshape(-1).astype(np.int64, copy=False)
        rows = np.where(rows < 0, rows + shape[0], rows)
        width = out.size // shape[0]
        kernels.scatter_rows(out.reshape(-1, width), rows, updates.reshape(-1, width))
    elif out.dtype.kind == "f" and (is_cupy(out) or updates.size > SHORT):
        # NumPy's add.at adds in float32. CuPy's adds in an order that changes from call to call,
        # and so would the last bits.
        positions = _positions(index, shape, array_module(out)).reshape(-1)
        kernels.scatter_rows(out.reshape(-1, 1), positions, updates.reshape(-1, 1))
    else:
        array_module(out).add.at(out, index, updates)
    return out


def _positions(index, shape, xp):
    """Where the elements that index names are in an array of that shape, flattened."""
    if type(index) is tuple and len(index) == len(shape) and all(map(_is_integers, index)):
        parts = [i.astype(np.int64, copy=False) for i in index]
        steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        return sum(np.where(i < 0, i + n, i) * step for i, n, step in zip(parts, shape, steps))
    positions = 0
    for axis, n in enumerate(shape):
        inner = shape[axis + 1 :]
        along = (xp.arange(n) * math.prod(inner)).reshape(-1, *(1 for _ in inner))
        positions = positions + xp.broadcast_to(along, shape)[index]
    return positions


def _is_integers(part) -> bool:
    return getattr(part, "ndim", 0) > 0 and part.dtype.kind in "iu"


def _raw_index(index, x):
    """index with tensors and sequences replaced by raw arrays, sequences on the device of x."""
    if type(index) is tuple:
        return tuple([_raw_part(part, x) for part in index])
    return _raw_part(index, x)


def _raw_part(part, x):
    if isinstance(part, list | tuple | range):
        part = array_module(raw(x)).asarray([raw(i) for i in part])
        return part.astype(np.int64) if part.size == 0 else part
    part = fixed(part)
    if _is_integers(part) and part.dtype != np.int64:
        part = whole_numbers("getitem: index", part, part)
    return part


@composite
def getitem(x: Array, index) -> Array:
    """x[index] for any NumPy index: ints, slices, None, Ellipsis, masks, integer arrays.

    IndexError for an index out of range.
    """
    index = _raw_index(index, x)
    if is_cupy(raw(x)):  # CuPy raises no error, but takes the index modulo the length
        _check_index("getitem", index, x.shape)
    try:
        return _getitem(x, index=index)
    except IndexError:
        _check_index("getitem", index, x.shape)
        raise


def _check_index(name, index, shape):
    """IndexError with the position, if an integer array of index has a value out of range."""
    parts = index if type(index) is tuple else (index,)
    axis, indexed = 0, sum(map(_num_axes, parts))
    for part in parts:
        if _is_integers(part) and axis < len(shape):
            check_range(f"{name}: axis {axis}", part, -shape[axis], shape[axis])
        axis += len(shape) - indexed if part is Ellipsis else _num_axes(part)


def _num_axes(part):
    """The number of axes that a part of an index is for; 0 for Ellipsis, which is for the rest."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if getattr(part, "dtype", None) == np.bool_ else 1


@composite
def scatter_add(x: Array, index, updates: Array) -> Array:
    """x with updates added at index, any NumPy index; elements named twice get the sum.

    updates broadcasts to the shape of x[index]. IndexError for an index out of range, ShapeError
    for updates that do not broadcast.
    """
    index = _raw_index(index, x)
    if is_cupy(raw(x)):
        _check_index("scatter_add", index, x.shape)
    try:
        shape = raw(x)[index].shape
    except IndexError:
        _check_index("scatter_add", index, x.shape)
        raise
    if type(updates) in PYTHON_SCALARS:
        dtype = promoted([raw(x), updates])[0].dtype
        updates = array_module(raw(x)).full((), updates, dtype)
    try:
        updates = broadcast_to(updates, shape)
    except ShapeError:
        raise ShapeError(
            f"scatter_add: updates of shape {updates.shape} do not fit x[index] of shape {shape}"
        ) from None
    return add(x, scatter(updates, index, x.shape))


@composite
def take_along_axis(x: Array, index: Array, axis: int | None) -> Array:
    """y[i, j, k] = x[i, index[i, j, k], k] for axis 1, and so on: numpy.take_along_axis.

    index, of integers, has as many dims as x; the two broadcast along the other axes. For axis None
    x is flattened. ShapeError or IndexError otherwise.
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    index, axis = whole_numbers("take_along_axis: index", index, x), axis_index(axis, x.ndim)
    pairs = [(n, m) for d, (n, m) in enumerate(zip(index.shape, x.shape)) if d != axis]
    if index.ndim != x.ndim or any(n != m and 1 not in (n, m) for n, m in pairs):
        raise ShapeError(
            f"take_along_axis: index {index.shape} does not fit x {x.shape}: they broadcast along "
            f"all axes but {axis}; gather takes an index that is shorter"
        )
    check_range("take_along_axis", index, -x.shape[axis], x.shape[axis])
    return _getitem(x, index=along_axis(axis, index, x.shape))


@composite
def gather(x: Array, axis: int, index: Array) -> Array:
    """y[i, j, k] = x[i, index[i, j, k], k] for axis 1, and so on: torch.gather.

    index, of integers in [0, N), has as many dims as x, and is not longer along the other axes. The
    result has the shape of index. ShapeError or IndexError otherwise.
    """
    index, axis = whole_numbers("gather: index", index, x), axis_index(axis, x.ndim)
    pairs = [(n, m) for d, (n, m) in enumerate(zip(index.shape, x.shape)) if d != axis]
    if index.ndim != x.ndim or any(n > m for n, m in pairs):
        raise ShapeError(
            f"gather: index {index.shape} does not fit x {x.shape}: it has as many dims, and is "
            f"not longer but along axis {axis}"
        )
    check_range("gather", index, 0, x.shape[axis])
    return _getitem(x, index=along_axis(axis, index, index.shape))


def along_axis(axis, index, shape):
    """An index of all axes: index along axis, and each position along the others."""
    positions = list(array_module(index).ogrid[tuple(slice(n) for n in shape)])
    positions[axis] = index
    return tuple(positions)


@composite
def repeat(x: Array, repeats: int | Array, axis: int | None = None) -> Array:
    """Each element of the flattened x, or each slice along axis, repeated `repeats` times in a row.

    repeats is a number, or an array with a number for each element. ShapeError if it does not fit.
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = axis_index(axis, x.ndim)
    try:
        counts = to_numpy(whole_numbers("repeat: repeats", repeats, x))
        source = np.repeat(np.arange(x.shape[axis]), counts)
    except ValueError as error:
        raise ShapeError(
            f"repeat: repeats {repeats} for an axis of length {x.shape[axis]}: {error}"
        ) from None
    source = array_module(raw(x)).asarray(source)
    return _getitem(x, index=(*[slice(None)] * axis, source))


@composite
def embedding(index: Array, weight: Array) -> Array:
    """Rows of weight (N, D): index (...) of integers in [0, N), result (..., D).

    ShapeError or IndexError otherwise.
    """
    index = whole_numbers("embedding: index", index, weight)
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight must be (N, D), got shape {weight.shape}")
    check_range("embedding", index, 0, weight.shape[0])
    return _getitem(weight, index=index)


def whole_numbers(name: str, index: Any, x: Array) -> Array:
    """index as a raw int64 array, a list on the device of x; DTypeError unless of integers.

    int64 holds each class, -1 and any ignore_index, which uint8 or int8 may not. IndexError for a
    uint64 that int64 does not hold.
    """
    index = fixed(index)
    if not hasattr(index, "dtype"):
        index = array_module(raw(x)).asarray(as_array(index))
        index = index if index.size else index.astype(np.int64)
    if index.dtype.kind not in "iu":
        check_dtype(index.dtype)  # which has a remedy for texts
        raise DTypeError(
            f"{name} must be integers, got {index.dtype}: convert with .astype(np.int64)"
        )
    if index.dtype == np.uint64 and index.size and int(index.max()) > LARGEST_INT64:
        raise IndexError(f"{name}: index {int(index.max())} is out of range")
    return index.astype(np.int64, copy=False)


def check_range(name: str, index: Array, low: int, high: int, skip: int | None = None) -> None:
    """IndexError with value and position, unless all of index is in [low, high) or equals skip.

    index is of integers, as `whole_numbers` returns it. While a CUDA graph is recorded, the check
    becomes part of it, and a later call raises the error.
    """
    if index.size == 0:
        return
    # min and max cost less than `wrong`. But on a GPU the host waits for each value that it reads,
    # so there it reads only one, wrong.any().
    on_gpu = is_cupy(index)
    if skip is None and not on_gpu and index.min() >= low and index.max() < high:
        return
    wrong = ((index < low) | (index >= high)) & (True if skip is None else index != skip)
    if on_gpu and capturing.get() is not None:
        message = f"{name}: an index is out of range [{low}, {high})"
        capturing.get().raise_if_any(wrong, message)
    elif wrong.any():
        position = tuple(int(i) for i in array_module(index).argwhere(wrong)[0])
        raise IndexError(
            f"{name}: index {int(index[position])} at position {position} "
            f"is out of range [{low}, {high})"
        )
