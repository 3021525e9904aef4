"""PyTorch's names of ops: functions of tensors or arrays that mean what they mean there.

A name with the same arguments is the op itself; others are a line on the ops. PyTorch's order and
names of arguments are kept. What is named like here and means something else is in
`autodiff/names.py`, with the expression to write.
"""

import math
from collections.abc import Sequence

import numpy as np

from minigen.autodiff.graph import Traced
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, Shape
from minigen.errors import ShapeError
from minigen.ops.comparing import ge, gt, le, lt, ne
from minigen.ops.counting import floor
from minigen.ops.elementwise import (
    abs,
    add,
    clip,
    divide,
    multiply,
    negative,
    reciprocal,
    sign,
    sqrt,
    subtract,
    where,
)
from minigen.ops.further import arccos, arcsin, arctan, arctan2
from minigen.ops.indexing import repeat
from minigen.ops.joining import concatenate
from minigen.ops.linalg import matmul, outer
from minigen.ops.powers import power
from minigen.ops.reduce import max, min
from minigen.ops.shape import (
    axis_index,
    broadcast_to,
    expand_dims,
    flip,
    moveaxis,
    reshape,
    swapaxes,
    transpose,
)

# ------------------------------------------------------------- another name for the same op

absolute, neg, sub, mul = abs, negative, subtract, multiply
div = true_divide = divide
pow, clamp = power, clip
acos, asin, atan, atan2 = arccos, arcsin, arctan, arctan2
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge
mm = bmm = mv = dot = matmul
ger, repeat_interleave = outer, repeat
cat = concat = concatenate
unsqueeze, swapdims, movedim = expand_dims, swapaxes, moveaxis


# ---------------------------------------------------------------------------- elementwise


def rsqrt(x: Array) -> Array:
    """1 / sqrt(x)."""
    return reciprocal(sqrt(x))


def clamp_min(x: Array, min: float) -> Array:
    """x where it is larger than min, else min."""
    return clip(x, min=min)


def clamp_max(x: Array, max: float) -> Array:
    """x where it is smaller than max, else max."""
    return clip(x, max=max)


def lerp(input: Array, end: Array, weight: Array | float) -> Array:
    """input + weight * (end - input)."""
    return add(input, multiply(weight, subtract(end, input)))


def masked_fill(input: Array, mask: Array, value: float) -> Array:
    """value where mask is true, else input."""
    return where(mask, value, input)


def isclose(
    input: Array, other: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Array:
    """Whether |input - other| <= atol + rtol * |other|, elementwise."""
    found = np.isclose(raw(input), raw(other), rtol, atol, equal_nan)
    return type(input)(found) if isinstance(input, Traced) else found


def allclose(
    input: Array, other: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether `isclose` is true everywhere."""
    return bool(isclose(raw(input), raw(other), rtol, atol, equal_nan).all())


def equal(input: Array, other: Array) -> bool:
    """Whether both have one shape and equal values: one bool. `eq` compares elementwise."""
    return raw(input).shape == raw(other).shape and bool((raw(input) == raw(other)).all())


def amax(input: Array, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Array:
    """The largest value over dim; equal maxima get equal parts of the gradient."""
    return max(input, dim, keepdim)


def amin(input: Array, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Array:
    """The smallest value over dim; equal minima get equal parts of the gradient."""
    return min(input, dim, keepdim)


def trunc(input: Array) -> Array:
    """input without its digits after the point; its gradient is 0."""
    return multiply(sign(input), floor(abs(input)))


# ---------------------------------------------------------------------------------- facts


def is_tensor(obj: object) -> bool:
    """Whether obj is a tensor."""
    return isinstance(obj, Traced)


def is_floating_point(input: Array) -> bool:
    """Whether the dtype is float32 or float64."""
    return input.dtype.kind == "f"


def numel(input: Array) -> int:
    """The number of values."""
    return math.prod(input.shape)


# ---------------------------------------------------------------------------------- shape


def permute(input: Array, dims: Sequence[int]) -> Array:
    """input with axis dims[i] as axis i."""
    return transpose(input, tuple(dims))


def t(input: Array) -> Array:
    """The transpose of a matrix; a vector as it is. ShapeError above 2 dims."""
    if input.ndim > 2:
        raise ShapeError(f"t: takes a matrix, got shape {input.shape}; use swapaxes(-2, -1)")
    return transpose(input)


def flatten(input: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    """input with the axes from start_dim to end_dim as one."""
    if input.ndim == 0:
        return reshape(input, (1,))
    first, last = axis_index(start_dim, input.ndim), axis_index(end_dim, input.ndim)
    shape = input.shape
    if last < first:
        raise ShapeError(f"flatten: axis {first} comes after axis {last}, of shape {shape}")
    inner = math.prod(shape[first : last + 1])
    return reshape(input, (*shape[:first], inner, *shape[last + 1 :]))


def ravel(input: Array) -> Array:
    """All values, in C order, along one axis."""
    return reshape(input, (-1,))


def unflatten(input: Array, dim: int, sizes: Shape) -> Array:
    """input with axis dim in the shape sizes, of which one length may be -1."""
    dim = axis_index(dim, input.ndim)
    others = math.prod(n for n in sizes if n != -1)
    sizes = tuple(input.shape[dim] // (others or 1) if n == -1 else n for n in sizes)
    return reshape(input, (*input.shape[:dim], *sizes, *input.shape[dim + 1 :]))


def expand(input: Array, size: Shape) -> Array:
    """input broadcast to size, where -1 leaves a length as it is."""
    lead = len(size) - input.ndim
    lengths = (input.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(size))
    return broadcast_to(input, tuple(lengths))


def fliplr(input: Array) -> Array:
    """input with its columns, axis 1, in reverse order."""
    return flip(input, 1)


def flipud(input: Array) -> Array:
    """input with its rows, axis 0, in reverse order."""
    return flip(input, 0)
