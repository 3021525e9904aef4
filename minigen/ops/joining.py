"""Padding and joining: pad and crop, concatenate and split, adjoints of each other."""

import math
from itertools import accumulate, pairwise

import numpy as np

from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import capturing
from minigen.backend.dtypes import PYTHON_SCALARS, as_array, promoted
from minigen.errors import ShapeError
from minigen.ops.shape import axis_index, broadcast_to, expand_dims, flip


@primitive(lambda g, y, x, pad_width, value: crop(g, pad_width))
def _pad(x, *, pad_width, value):
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, pad_width))
    y = array_module(x).full(shape, value, x.dtype)
    y[_inside(pad_width, shape)] = x
    return y


@primitive(lambda g, y, x, pad_width: _pad(g, pad_width=pad_width, value=0), views=True)
def crop(x: Array, *, pad_width: tuple[tuple[int, int], ...]) -> Array:
    """x without `before` values at the start of axis i and `after` at its end.

    pad_width[i] is (before, after). ShapeError if an axis is too short.
    """
    if len(pad_width) != x.ndim or any(sum(cut) > n for cut, n in zip(pad_width, x.shape)):
        raise ShapeError(f"crop: {pad_width} cannot be cut from shape {x.shape}")
    return x[_inside(pad_width, x.shape)]


def _inside(pad_width, shape):
    """The index of an array of that shape without its border."""
    return tuple(slice(before, n - after) for n, (before, after) in zip(shape, pad_width))


@composite
def pad(x: Array, pad_width, value: float = 0, mode: str = "constant") -> Array:
    """x with a border: pad_width is n, (before, after), or one such pair for each axis.

    The border has the constant value, or by mode, as numpy.pad, x itself: "reflect" mirrors it
    without its edge, "edge" repeats the edge, "wrap" goes on at the other end. ShapeError for
    another pad_width, or for a border that is longer than what x has to fill it.
    """
    try:
        pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist() if x.ndim else []
    except ValueError:
        raise ShapeError(f"pad: pad_width {pad_width} does not fit shape {x.shape}") from None
    if any(n < 0 or n != int(n) for pair in pairs for n in pair):
        raise ShapeError(f"pad: pad_width must be whole and not negative, got {pad_width}")
    if mode == "constant":
        return _pad(x, pad_width=tuple(map(tuple, pairs)), value=value)
    if mode not in ("reflect", "edge", "wrap"):
        raise ValueError(f"pad: mode must be constant, reflect, edge or wrap, got {mode!r}")
    longest = [max(pair, default=0) for pair in pairs]
    room = [
        {"reflect": max(n - 1, 0), "wrap": n, "edge": m if n else 0}[mode]
        for n, m in zip(x.shape, longest)
    ]
    if any(m > n for m, n in zip(longest, room)):
        raise ShapeError(f"pad: {pad_width} is more than shape {x.shape} can fill by {mode!r}")
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            x = _bordered(x, axis, before, after, mode)
    return x


def _bordered(x, axis, before, after, mode):
    """x with a border that repeats values of x, at both ends of one axis."""
    n = x.shape[axis]

    def part(start, stop):
        cut = [(0, 0)] * x.ndim
        cut[axis] = (start, n - stop)
        return crop(x, pad_width=tuple(cut))

    if mode == "reflect":
        first = flip(part(1, 1 + before), axis=axis)
        last = flip(part(n - 1 - after, n - 1), axis=axis)
    elif mode == "wrap":
        first, last = part(n - before, n), part(0, after)
    else:
        shapes = [(*x.shape[:axis], m, *x.shape[axis + 1 :]) for m in (before, after)]
        first, last = broadcast_to(part(0, 1), shapes[0]), broadcast_to(part(n - 1, n), shapes[1])
    parts = [p for p, m in ((first, before), (x, 1), (last, after)) if m]
    return _concatenate(*parts, axis=axis)


@primitive(
    lambda g, y, i, *xs, axis: crop(g, _around(g.ndim, axis, [x.shape[axis] for x in xs], i)),
    prepare=promoted,
)
def _concatenate(*xs, axis):
    # For more than 8 arrays CuPy copies a list from the host to the device, which it must not do
    # while a CUDA graph is recorded. So it gets at most 8 arrays in a call.
    if capturing.get() is not None:
        while len(xs) > 8:
            xs = [np.concatenate(xs[i : i + 8], axis) for i in range(0, len(xs), 8)]
    return np.concatenate(xs, axis)


@primitive(
    lambda g, y, x, sizes, axis: _unsplit(_without_none(g, x, sizes, axis), x, sizes, axis),
    views=True,
)
def _split(x, *, sizes, axis):
    return _parts(x, sizes, axis)


def _parts(x, sizes, axis):
    """Views of x, cut along axis into parts of these sizes."""
    before, ends = (slice(None),) * axis, accumulate(sizes)
    return tuple(x[(*before, slice(end - n, end))] for n, end in zip(sizes, ends))


def _around(ndim, axis, sizes, i):
    """The pad_width with which crop returns part i of an axis cut into parts of these sizes."""
    around = (sum(sizes[:i]), sum(sizes[i + 1 :]))
    return tuple(around if d == axis else (0, 0) for d in range(ndim))


def _unsplit(gs, x, sizes, axis):
    """The concatenation of gs along axis.

    If a kernel wrote gs into one array, as its parts, that array is returned without a copy.
    """
    whole = getattr(gs[0], "base", None)
    if type(whole) is np.ndarray and whole.size == math.prod(x.shape) and whole.flags.c_contiguous:
        whole = whole.reshape(x.shape)
        pairs = zip(_parts(whole, sizes, axis), gs)
        if all(part.__array_interface__ == g.__array_interface__ for part, g in pairs):
            return whole
    return _concatenate(*gs, axis=axis)


def _without_none(gs, x, sizes, axis):
    """gs with an array of zeros for each None: an output of split that no cotangent reached."""
    xp = array_module(raw(next(g for g in gs if g is not None)))
    shapes = ((*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in sizes)
    return [xp.zeros(s, x.dtype) if g is None else g for g, s in zip(gs, shapes)]


def _as_arrays(xs):
    """xs with Python's numbers as arrays."""
    return [as_array(x) if type(x) in PYTHON_SCALARS else x for x in xs]


@composite
def concatenate(xs, axis: int = 0) -> Array:
    """The arrays of the sequence xs joined along an existing axis.

    ShapeError if they differ in another axis, or if there are none.
    """
    xs = _as_arrays(xs)
    if not xs:
        raise ShapeError("concatenate: needs at least one array")
    shapes = [x.shape for x in xs]
    axis = axis_index(axis, len(shapes[0]))
    others = {(*s[:axis], *s[axis + 1 :]) if len(s) == len(shapes[0]) else s for s in shapes}
    if len(others) > 1:
        raise ShapeError(f"concatenate: shapes {shapes} differ on more than axis {axis}")
    return _concatenate(*xs, axis=axis)


@composite
def stack(xs, axis: int = 0) -> Array:
    """The arrays of the sequence xs joined along a new axis; ShapeError if their shapes differ."""
    xs = _as_arrays(xs)
    if not xs:
        raise ShapeError("stack: needs at least one array")
    if len({x.shape for x in xs}) > 1:
        raise ShapeError(f"stack: shapes {[x.shape for x in xs]} are not equal")
    axis = axis_index(axis, xs[0].ndim + 1)
    return concatenate([expand_dims(x, axis) for x in xs], axis)


@composite
def split(x: Array, sections_or_indices, axis: int = 0) -> tuple:
    """A tuple of parts of x along axis: a number of equal parts, or parts between indices.

    As numpy.split; ShapeError if the axis has no such number of equal parts.
    """
    axis = axis_index(axis, x.ndim)
    n = x.shape[axis]
    if np.ndim(sections_or_indices) == 0:
        parts = int(sections_or_indices)
        if parts < 1 or n % parts:
            raise ShapeError(f"split: axis {axis} of length {n} has no {parts} equal parts")
        sizes = (n // parts,) * parts
    else:
        edges = [0, *(slice(int(i)).indices(n)[1] for i in sections_or_indices), n]
        if edges != sorted(edges):  # parts overlap
            borders = [(start, n - max(start, stop)) for start, stop in pairwise(edges)]
            whole = [(0, 0)] * x.ndim
            return tuple(crop(x, (*whole[:axis], b, *whole[axis + 1 :])) for b in borders)
        sizes = tuple(stop - start for start, stop in pairwise(edges))
    return _split(x, sizes=sizes, axis=axis)
