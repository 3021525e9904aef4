"""Ops that change shape, dtype or device.

They are linear, so the rule of each is its adjoint, which is an op of this file too: sum_to and
broadcast_to are a pair; reshape, transpose, flip, roll, tril, triu and astype are their own
adjoints, with other settings.
"""

import operator

import numpy as np

from minigen import kernels
from minigen.autodiff.graph import Traced
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend import devices
from minigen.backend.arrays import Array, Shape
from minigen.backend.dtypes import check_dtype
from minigen.errors import ShapeError


def axis_index(axis: int, ndim: int) -> int:
    """axis as a number in [0, ndim); ShapeError if an array of ndim dims has no such axis."""
    try:
        axis = operator.index(axis)
    except TypeError:
        raise TypeError(f"an axis is an integer, not {type(axis).__name__}") from None
    if not -ndim <= axis < ndim:
        raise ShapeError(f"axis {axis} does not exist in an array of {ndim} dims")
    return axis % ndim


def axis_tuple(axis: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """One axis or several as a tuple of numbers in [0, ndim); ShapeError if two are equal."""
    axes = tuple(axis_index(i, ndim) for i in (axis if isinstance(axis, tuple | list) else (axis,)))
    if len(set(axes)) < len(axes):
        raise ShapeError(f"axis {axis} names one axis twice")
    return axes


def zeros_like(x):
    """A raw array of zeros with the shape, dtype and device of x."""
    return np.zeros_like(raw(x))


# --------------------------------------------------------------------------- broadcasting


@primitive(lambda g, y, x, shape: broadcast_to(g, x.shape), views=True)
def sum_to(x: Array, *, shape: Shape) -> Array:
    """x summed to shape: over the axes along which an array of that shape broadcasts to x.shape.

    ShapeError if shape does not broadcast to x.shape.
    """
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)  # axes that broadcasting has added in front
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[lead:])):
        raise ShapeError(f"sum_to: shape {shape} does not broadcast to {x.shape}")
    added = tuple(range(lead))
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1 != x.shape[lead + i])
    return kernels.sum_over(x, added + stretched).reshape(shape)


def unbroadcast(g, shape):
    """g summed over the axes along which an argument of that shape was broadcast, if any.

    If there are none it returns g itself, so no node is recorded.
    """
    return g if g.shape == shape else sum_to(g, shape)


def broadcast_scalar(x: np.ndarray | np.generic, shape: Shape) -> np.ndarray:
    """`np.broadcast_to` for x of shape (), faster: a read-only view whose strides are all 0."""
    x = np.asarray(x)
    y = np.ndarray(shape, x.dtype, x, strides=(0,) * len(shape))
    y.setflags(write=False)
    return y


@primitive(lambda g, y, x, shape: sum_to(g, x.shape), views=True)
def broadcast_to(x: Array, *, shape: Shape) -> Array:
    """x repeated along its axes of length 1, and along new axes in front, as a read-only view.

    ShapeError if x.shape does not broadcast to shape.
    """
    try:
        is_scalar = isinstance(x, np.ndarray | np.generic) and x.shape == ()
        if is_scalar and type(shape) is tuple and min(shape, default=0) >= 0:
            return broadcast_scalar(x, shape)
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ShapeError(
            f"broadcast_to: shape {np.shape(x)} does not broadcast to {shape}"
        ) from None


# ------------------------------------------------------------------------ rearrangements


@primitive(lambda g, y, x, shape: g.reshape(x.shape), views=True)
def reshape(x: Array, *, shape: int | Shape) -> Array:
    """The values of x, in C order, in another shape. One length may be -1: it is computed.

    ShapeError if the sizes differ.
    """
    try:
        return x.reshape(shape)
    except ValueError:
        raise ShapeError(f"reshape: {x.shape} ({x.size} values) does not fit {shape}") from None


@primitive(lambda g, y, x, axes: transpose(g, axes and inverse_order(axes, g.ndim)), views=True)
def transpose(x: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    """x with axis axes[i] as axis i; axes reversed by default. ShapeError if axes is no order."""
    try:
        return x.transpose(axes)
    except ValueError:
        raise ShapeError(f"transpose: axes {axes} are no order of the axes of {x.shape}") from None


def inverse_order(axes, ndim):
    """The inverse permutation of axes: transpose with it undoes transpose with axes."""
    return tuple(sorted(range(ndim), key=[axis % ndim for axis in axes].__getitem__))


@composite
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """x with two axes exchanged; ShapeError for an axis that x does not have."""
    i, j = (axis_index(axis, x.ndim) for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return transpose(x, tuple(order))


@composite
def moveaxis(x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Array:
    """x with axis source[i] as axis destination[i], and the other axes in their old order.

    ShapeError for an axis that x does not have, or for tuples of different lengths.
    """
    source = axis_tuple(source, x.ndim)
    destination = axis_tuple(destination, x.ndim)
    if len(source) != len(destination):
        raise ShapeError(f"moveaxis: {len(source)} sources, {len(destination)} destinations")
    order = [axis for axis in range(x.ndim) if axis not in source]
    for position, axis in sorted(zip(destination, source)):
        order.insert(position, axis)
    return transpose(x, tuple(order))


@composite
def squeeze(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """x without its axes of length 1, or without those in axis; ShapeError if one is longer."""
    ones = [i for i, n in enumerate(x.shape) if n == 1]
    axes = ones if axis is None else axis_tuple(axis, x.ndim)
    if not set(axes) <= set(ones):
        raise ShapeError(f"squeeze: axis {axis} of shape {x.shape} is not of length 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@composite
def expand_dims(x: Array, axis: int | tuple[int, ...]) -> Array:
    """x with new axes of length 1; axis numbers the axes of the result."""
    ndim = x.ndim + (len(axis) if isinstance(axis, tuple | list) else 1)
    axes = axis_tuple(axis, ndim)
    lengths = iter(x.shape)
    return reshape(x, tuple(1 if i in axes else next(lengths) for i in range(ndim)))


@primitive(lambda g, y, x, axis: flip(g, axis), views=True)
def flip(x: Array, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """x reversed along axis, by default along all axes."""
    return np.flip(x, None if axis is None else axis_tuple(axis, x.ndim))


@primitive(lambda g, y, x, shift, axis: roll(g, _negated(shift), axis))
def roll(x: Array, *, shift: int | tuple[int, ...], axis: int | tuple[int, ...] | None = None):
    """x rotated by shift along axis, y[i] = x[i - shift]; for None, flattened in C order."""
    if axis is not None:
        axes = axis_tuple(axis, x.ndim)
        if isinstance(shift, tuple | list) and len(shift) != len(axes):
            raise ShapeError(f"roll: shift {shift} does not fit axis {axis} of shape {x.shape}")
    return np.roll(x, shift, axis)


def _negated(shift):
    # As Python's integers: of np.uint8(3) the negative is 253.
    if isinstance(shift, tuple | list):
        return tuple(-operator.index(s) for s in shift)
    return -operator.index(shift)


@primitive(lambda g, y, x, k: tril(g, k))
def tril(x: Array, *, k: int = 0) -> Array:
    """The lower triangles of x (..., M, N): 0 where column - row > k. ShapeError below 2 dims."""
    return np.tril(_matrices("tril", x), k)


@primitive(lambda g, y, x, k: triu(g, k))
def triu(x: Array, *, k: int = 0) -> Array:
    """The upper triangles of x (..., M, N): 0 where column - row < k. ShapeError below 2 dims."""
    return np.triu(_matrices("triu", x), k)


def _matrices(name, x):
    if x.ndim < 2:
        raise ShapeError(f"{name}: needs at least 2 dims, got shape {x.shape}")
    return x


@composite
def tile(x: Array, reps: int | tuple[int, ...]) -> Array:
    """reps[i] copies of x side by side along axis i, as numpy.tile.

    The shorter of reps and x.shape gets ones in front. ShapeError for a negative number.
    """
    reps = tuple(map(operator.index, (reps,) if np.ndim(reps) == 0 else reps))
    if any(r < 0 for r in reps):
        raise ShapeError(f"tile: reps must not be negative, got {reps}")
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    x = reshape(x, tuple(length for n in shape for length in (1, n)))  # (1, n0, 1, n1, ...)
    x = broadcast_to(x, tuple(length for pair in zip(reps, shape) for length in pair))
    return reshape(x, tuple(r * n for r, n in zip(reps, shape)))


# ---------------------------------------------------------------------- dtype and device


@primitive(lambda g, y, x: g)
def clone(x: Array) -> Array:
    """A copy of x, which does not change when x is a parameter and is trained."""
    return x.copy()


@primitive(lambda g, y, x, dtype: astype(g, x.dtype), views=True)
def _astype(x, *, dtype):
    return x.astype(dtype)


@primitive(None)
def _as_integers(x, *, dtype):
    return x.astype(dtype)


@composite
def astype(x: Array, dtype) -> Array:
    """x in another dtype; x itself if it has that dtype.

    An integer or boolean result has no gradient. DTypeError for a dtype that is not supported.
    """
    dtype = check_dtype(dtype)
    if x.dtype == dtype:
        return x
    if dtype.kind != "f" and isinstance(x, Traced):
        return _as_integers(x, dtype=dtype)
    return _astype(x, dtype=dtype)


@primitive(lambda g, y, x, device, source: _to_device(g, device=source, source=device), views=True)
def _to_device(x, *, device, source):
    return devices.to_device(x, device)


@composite
def to_device(x: Array, device: str) -> Array:
    """x on 'cpu', 'cuda' or 'cuda:N'; x itself if it is on that device.

    BackendUnavailable if this machine cannot use the device.
    """
    source, device = devices.device_of(raw(x)), devices.resolve_device(device)
    return x if device == source else _to_device(x, device=device, source=source)
