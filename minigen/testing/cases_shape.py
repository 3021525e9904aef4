"""Cases of the ops that change shape, order, dtype or device, and that join and split arrays."""

import math

import numpy as np

from minigen.testing.case import Case
from minigen.testing.choices import Choices


def _unary(draw_rest):
    """A draw of a call of an op of one array; draw_rest(c) returns (shape, other args, options)."""

    def draw(c: Choices):
        shape, args, options = draw_rest(c)
        return (c.array(shape), *args), options

    return draw


def _shape_of_size(c, size):
    """A shape, as a list, whose product is size."""
    shape = [size]
    for divisor in (2, 3):
        if size % divisor == 0 and c.flag():
            shape = [*shape[:-1], divisor, shape[-1] // divisor]
    return shape if size != 1 or c.flag() else []


@_unary
def _reshape(c):
    shape = c.shape()
    size = math.prod(shape)
    target = _shape_of_size(c, size)
    form = c.integer(0, 3)  # 0: -1; 1: one length is -1; 2: positional; 3: by keyword
    if size and form == 0:
        return shape, (-1,), {}
    if size and target and form == 1:
        target[c.integer(0, len(target) - 1)] = -1
    return (shape, (tuple(target),), {}) if form == 2 else (shape, (), {"shape": tuple(target)})


def _order(c, ndim):
    """A permutation of the axes, some of them negative."""
    order = c.rng.permutation(ndim).tolist()
    return tuple(i - ndim if c.flag() else i for i in order)


@_unary
def _transpose(c):
    shape = c.shape()
    return shape, (), c.pick(({}, {"axes": None}, {"axes": _order(c, len(shape))}))


@_unary
def _swapaxes(c):
    shape = c.shape(min_dims=1)
    return shape, (c.axis(len(shape)), c.axis(len(shape))), {}


@_unary
def _moveaxis(c):
    shape = c.shape(min_dims=1)
    if c.flag():
        return shape, (c.axis(len(shape)), c.axis(len(shape))), {}
    count = c.integer(0, len(shape))
    return shape, (_order(c, len(shape))[:count], _order(c, len(shape))[:count]), {}


@_unary
def _squeeze(c):
    shape = c.narrowed(c.shape())
    ones = tuple(i - c.pick((0, len(shape))) for i, n in enumerate(shape) if n == 1)
    options = [{}, {"axis": None}, {"axis": ones}, *({"axis": i} for i in ones[:1])]
    return shape, (), c.pick(options)


@_unary
def _expand_dims(c):
    shape = c.shape(max_dims=3)
    if c.flag():
        return shape, (c.integer(-len(shape) - 1, len(shape)),), {}
    count = c.integer(0, 2)
    return shape, (_order(c, len(shape) + count)[:count],), {}


@_unary
def _broadcast_to(c):
    full = c.shape()
    return c.narrowed(full), (full,), {}


@_unary
def _sum_to(c):
    full = c.shape()
    return full, (c.narrowed(full),), {}


def sum_to(x, shape):
    while x.ndim > len(shape):
        x = x.sum(0)
    for axis, n in enumerate(shape):
        x = x.sum(axis, keepdims=True) if n == 1 else x
    return x


def _shapes_to_join(c):
    """Shapes that differ on one axis only, and that axis."""
    shape = list(c.shape(min_dims=1, max_dims=3))
    axis = c.axis(len(shape))
    lengths = [c.integer(0, 3) for _ in range(c.integer(1, 4))]
    before, after = shape[: axis % len(shape)], shape[axis % len(shape) + 1 :]
    return [(*before, n, *after) for n in lengths], axis


def _concatenate(c):
    shapes, axis = _shapes_to_join(c)
    options = {} if axis == 0 and c.flag() else {"axis": axis}
    return (c.pick((list, tuple))(map(c.array, shapes)),), options


def _stack(c):
    shape = c.shape(max_dims=3)
    axis = c.integer(-len(shape) - 1, len(shape))
    return ([c.array(shape) for _ in range(c.integer(1, 3))],), {"axis": axis}


@_unary
def _split(c):
    shape = list(c.shape(min_dims=1, max_dims=3))
    axis = c.axis(len(shape))
    if c.flag():
        parts = c.integer(1, 3)
        shape[axis] *= parts
        return tuple(shape), (parts,), {"axis": axis}
    cuts = sorted(c.integer(0, 6) for _ in range(c.integer(0, 3)))
    return tuple(shape), (cuts,), {"axis": axis}


@_unary
def _pad(c):
    shape = c.shape(max_dims=3)
    pairs = tuple((c.integer(0, 2), c.integer(0, 2)) for _ in shape)
    width = c.pick((c.integer(0, 2), (c.integer(0, 2), 1), pairs or 0))
    mode = c.pick(("constant", "constant", "reflect", "edge", "wrap"))
    if mode == "constant":
        return shape, (width,), c.pick(({}, {"value": -2.0}))
    pairs = tuple((c.integer(0, min(n - 1, 2)), c.integer(0, min(n - 1, 2))) for n in shape if n)
    return tuple(n for n in shape if n), (pairs or 0,), {"mode": mode}


def pad(x, pad_width, value=0, mode="constant"):
    width = pad_width if np.ndim(pad_width) == 2 else np.broadcast_to(pad_width, (x.ndim, 2))
    options = {"constant_values": value} if mode == "constant" else {}
    return np.pad(x, width, mode, **options) if x.ndim else x


@_unary
def _crop(c):
    shape = c.shape()
    before = [c.integer(0, n) for n in shape]
    return shape, (tuple((b, c.integer(0, n - b)) for b, n in zip(before, shape)),), {}


def crop(x, pad_width):
    for axis, (before, after) in enumerate(pad_width):
        x = np.take(x, np.arange(before, x.shape[axis] - after), axis)
    return x


@_unary
def _flip(c):
    shape = c.shape()
    return shape, (), {"axis": c.axes(len(shape))}


@_unary
def _roll(c):
    shape = c.shape()
    axes = c.axes(len(shape)) if shape else None  # numpy.roll has no () for 0-d
    if isinstance(axes, tuple) and c.flag():
        return shape, (tuple(c.integer(-4, 4) for _ in axes), axes), {}
    return shape, (c.integer(-7, 7), axes), {}


@_unary
def _tile(c):
    shape = c.shape(max_dims=3, max_side=3)
    return shape, (c.pick((c.integer(0, 3), tuple(c.shape(max_dims=4, max_side=2)))),), {}


@_unary
def _triangle(c):
    return c.shape(min_dims=2), (), c.pick(({}, {"k": c.integer(-3, 3)}))


@_unary
def _same_dtype(c):
    return c.shape(), (np.float64,), {}


@_unary
def _same_device(c):
    return c.shape(), ("cpu",), {}


def split(x, sections_or_indices, axis=0):
    return tuple(np.split(x, sections_or_indices, axis))


SHAPE = {
    "astype": Case(lambda x, dtype: x, _same_dtype, sets_dtype=True),
    "broadcast_to": Case(np.broadcast_to, _broadcast_to),
    "concatenate": Case(np.concatenate, _concatenate),
    "crop": Case(crop, _crop),
    "expand_dims": Case(np.expand_dims, _expand_dims),
    "clone": Case(lambda x: x + 0, lambda c: ((c.array(c.shape()),), {})),
    "flip": Case(np.flip, _flip),
    "moveaxis": Case(np.moveaxis, _moveaxis),
    "pad": Case(pad, _pad),
    "reshape": Case(lambda x, shape: np.reshape(x, shape), _reshape),
    "roll": Case(np.roll, _roll),
    "split": Case(split, _split, returns_tuple=True),
    "squeeze": Case(np.squeeze, _squeeze),
    "stack": Case(np.stack, _stack),
    "sum_to": Case(sum_to, _sum_to),
    "swapaxes": Case(np.swapaxes, _swapaxes),
    "tile": Case(np.tile, _tile),
    "to_device": Case(lambda x, device: x, _same_device),
    "transpose": Case(np.transpose, _transpose),
    "tril": Case(np.tril, _triangle),
    "triu": Case(np.triu, _triangle),
}
