"""Shapes, joins and dtypes. Linear ops, so they come in adjoint pairs: each is the other's rule.

sum_to and broadcast_to, pad and crop, concatenate and split, reshape, transpose, astype with
themselves.
"""

from itertools import pairwise

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from minigen import backend
from minigen.autodiff import Traced
from minigen.backend import Array, Shape, array_module, check_dtype, promoted
from minigen.errors import ShapeError
from minigen.primitives import composite, primitive


def raw(x):
    """The array of a tensor; anything else as it is."""
    return x.data if isinstance(x, Traced) else x


def zeros_like(x):
    """A raw array of zeros with the shape, dtype and device of x."""
    return np.zeros_like(raw(x))


# --------------------------------------------------------------------------- broadcasting


@primitive(lambda g, y, x, shape: broadcast_to(g, x.shape))
def sum_to(x: Array, *, shape: Shape) -> Array:
    """x summed over the axes along which an array of that shape broadcasts to x's."""
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    added = tuple(range(lead))
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1 != x.shape[lead + i])
    return x.sum(added + stretched, keepdims=True).reshape(shape)


@primitive(lambda g, y, x, shape: sum_to(g, x.shape))
def broadcast_to(x: Array, *, shape: Shape) -> Array:
    """x repeated along its axes of length 1, and along new ones in front, without a copy."""
    try:
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ShapeError(
            f"broadcast_to: shape {np.shape(x)} does not broadcast to {shape}"
        ) from None


# ------------------------------------------------------------------------- the same values


@primitive(lambda g, y, x, shape: reshape(g, x.shape))
def reshape(x: Array, *, shape: int | Shape) -> Array:
    """The same values in C order in another shape; one side may be -1."""
    try:
        return x.reshape(shape)
    except ValueError:
        raise ShapeError(f"reshape: {x.shape} ({x.size} values) does not fit {shape}") from None


@primitive(lambda g, y, x, axes: transpose(g, None if axes is None else inverse(axes, g.ndim)))
def transpose(x: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    """Axes in the order given, reversed by default."""
    try:
        return x.transpose(axes)
    except ValueError:
        raise ShapeError(f"transpose: axes {axes} are no order of the axes of {x.shape}") from None


def inverse(axes, ndim):
    """The order of axes that undoes the order `axes`."""
    return tuple(int(i) for i in np.argsort([axis % ndim for axis in axes]))


@composite
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    i, j = (normalize_axis_index(axis, x.ndim) for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return transpose(x, tuple(order))


@composite
def moveaxis(x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Array:
    """The axes in source moved to the places in destination, the others kept in order."""
    source = normalize_axis_tuple(source, x.ndim)
    destination = normalize_axis_tuple(destination, x.ndim)
    if len(source) != len(destination):
        raise ShapeError(f"moveaxis: {len(source)} sources, {len(destination)} destinations")
    order = [axis for axis in range(x.ndim) if axis not in source]
    for place, axis in sorted(zip(destination, source)):
        order.insert(place, axis)
    return transpose(x, tuple(order))


@composite
def squeeze(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """Without its axes of length 1, or without those named, which must have length 1."""
    ones = [i for i, n in enumerate(x.shape) if n == 1]
    axes = ones if axis is None else normalize_axis_tuple(axis, x.ndim)
    if not set(axes) <= set(ones):
        raise ShapeError(f"squeeze: axis {axis} of shape {x.shape} is not of length 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@composite
def expand_dims(x: Array, axis: int | tuple[int, ...]) -> Array:
    """With axes of length 1 inserted; axis counts in the result."""
    count = len(axis) if isinstance(axis, tuple) else 1
    axes = normalize_axis_tuple(axis, x.ndim + count)
    sides = iter(x.shape)
    return reshape(x, tuple(1 if i in axes else next(sides) for i in range(x.ndim + count)))


@primitive(lambda g, y, x, axis: flip(g, axis))
def flip(x: Array, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """Reversed along axis, or along all."""
    return np.flip(x, axis)


@primitive(lambda g, y, x, shift, axis: roll(g, _negated(shift), axis))
def roll(x: Array, *, shift: int | tuple[int, ...], axis: int | tuple[int, ...] | None = None):
    """Shifted along axis, what falls off one end coming in at the other; None: in C order."""
    return np.roll(x, shift, axis)


def _negated(shift):
    return tuple(-s for s in shift) if isinstance(shift, tuple) else -shift


@primitive(lambda g, y, x, k: tril(g, k))
def tril(x: Array, *, k: int = 0) -> Array:
    """The lower triangle of the last two axes: zero above diagonal k."""
    return np.tril(_matrices("tril", x), k)


@primitive(lambda g, y, x, k: triu(g, k))
def triu(x: Array, *, k: int = 0) -> Array:
    """The upper triangle of the last two axes: zero below diagonal k."""
    return np.triu(_matrices("triu", x), k)


def _matrices(name, x):
    if x.ndim < 2:
        raise ShapeError(f"{name}: needs at least 2 dims, got shape {x.shape}")
    return x


# ------------------------------------------------------------------- borders and joins


@primitive(lambda g, y, x, pad_width, value: crop(g, pad_width))
def _pad(x, *, pad_width, value):
    sides = tuple(n + before + after for n, (before, after) in zip(x.shape, pad_width))
    y = array_module(x).full(sides, value, x.dtype)
    y[_inside(pad_width, sides)] = x
    return y


@primitive(lambda g, y, x, pad_width: _pad(g, pad_width=pad_width, value=0))
def crop(x: Array, *, pad_width: tuple[tuple[int, int], ...]) -> Array:
    """Without pad_width[i] = (before, after) values at the two ends of each axis i."""
    return x[_inside(pad_width, x.shape)]


def _inside(pad_width, sides):
    return tuple(slice(before, n - after) for n, (before, after) in zip(sides, pad_width))


@composite
def pad(x: Array, pad_width, value: float = 0) -> Array:
    """x with a border: pad_width is n, (before, after) or one such pair for each axis."""
    pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if any(n < 0 or n != int(n) for pair in pairs for n in pair):
        raise ShapeError(f"pad: pad_width must be whole and not negative, got {pad_width}")
    return _pad(x, pad_width=tuple(map(tuple, pairs)), value=value)


@primitive(
    lambda g, y, i, *xs, axis: crop(g, _part(g.ndim, axis, [x.shape[axis] for x in xs], i)),
    prepare=promoted,
)
def _concatenate(*xs, axis):
    return np.concatenate(xs, axis)


@primitive(lambda g, y, x, sizes, axis: _concatenate(*_filled(g, x, sizes, axis), axis=axis))
def _split(x, *, sizes, axis):
    return tuple(x[_inside(_part(x.ndim, axis, sizes, i), x.shape)] for i in range(len(sizes)))


def _part(ndim, axis, sizes, i):
    """The pad_width around part i of an axis cut into parts of these sizes."""
    none = (0, 0)
    cut = (sum(sizes[:i]), sum(sizes[i + 1 :]))
    return tuple(cut if d == axis else none for d in range(ndim))


def _filled(gs, x, sizes, axis):
    """gs with zeros where an output of a split got no cotangent."""
    xp = array_module(raw(next(g for g in gs if g is not None)))
    shapes = ((*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in sizes)
    return [xp.zeros(s, x.dtype) if g is None else g for g, s in zip(gs, shapes)]


@composite
def concatenate(xs, axis: int = 0) -> Array:
    """A sequence of arrays joined along an axis; their other sides must be equal."""
    xs = list(xs)
    if not xs:
        raise ShapeError("concatenate: needs at least one array")
    shapes = [x.shape for x in xs]
    axis = normalize_axis_index(axis, len(shapes[0]))
    others = {(*s[:axis], *s[axis + 1 :]) if len(s) == len(shapes[0]) else s for s in shapes}
    if len(others) > 1:
        raise ShapeError(f"concatenate: shapes {shapes} differ on more than axis {axis}")
    return _concatenate(*xs, axis=axis)


@composite
def stack(xs, axis: int = 0) -> Array:
    """A sequence of arrays of one shape, joined along a new axis."""
    xs = list(xs)
    if len({x.shape for x in xs}) > 1:
        raise ShapeError(f"stack: shapes {[x.shape for x in xs]} are not equal")
    return concatenate([expand_dims(x, axis) for x in xs], axis)


@composite
def split(x: Array, sections_or_indices, axis: int = 0) -> tuple:
    """Parts of x along axis: so many equal ones, or those between the indices given."""
    axis = normalize_axis_index(axis, x.ndim)
    n = x.shape[axis]
    if np.ndim(sections_or_indices) == 0:
        count = int(sections_or_indices)
        if count < 1 or n % count:
            raise ShapeError(f"split: axis {axis} of length {n} has no {count} equal parts")
        sizes = (n // count,) * count
    else:
        cuts = [slice(int(i)).indices(n)[1] for i in sections_or_indices]
        edges = [0, *np.maximum.accumulate(cuts).tolist(), n] if cuts else [0, n]
        sizes = tuple(stop - start for start, stop in pairwise(edges))
    return _split(x, sizes=sizes, axis=axis)


@composite
def tile(x: Array, reps: int | tuple[int, ...]) -> Array:
    """x repeated as a whole, reps[i] times along axis i."""
    reps = (reps,) if np.ndim(reps) == 0 else tuple(reps)
    if any(r < 0 for r in reps):
        raise ShapeError(f"tile: reps must not be negative, got {reps}")
    sides = (1,) * (len(reps) - x.ndim) + x.shape
    reps = (1,) * (len(sides) - len(reps)) + reps
    x = reshape(x, tuple(side for n in sides for side in (1, n)))
    x = broadcast_to(x, tuple(side for pair in zip(reps, sides) for side in pair))
    return reshape(x, tuple(r * n for r, n in zip(reps, sides)))


# ---------------------------------------------------------------------- dtype and device


@primitive(lambda g, y, x, dtype: astype(g, x.dtype))
def _astype(x, *, dtype):
    return x.astype(dtype)


@composite
def astype(x: Array, dtype) -> Array:
    """x in another dtype; x itself if it has that one. Without gradient unless it is a float."""
    dtype = check_dtype(dtype)
    if x.dtype == dtype:
        return x
    if dtype.kind != "f" and isinstance(x, Traced):
        return type(x)(x.data.astype(dtype))
    return _astype(x, dtype=dtype)


@primitive(lambda g, y, x, device, source: _to_device(g, device=source, source=device))
def _to_device(x, *, device, source):
    return backend.to_device(x, device)


@composite
def to_device(x: Array, device: str) -> Array:
    """x on 'cpu', 'cuda' or 'cuda:N'; x itself if it is there already."""
    source, device = backend.device_of(raw(x)), backend.resolve_device(device)
    return x if device == source else _to_device(x, device=device, source=source)
