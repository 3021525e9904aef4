"""Parts and arrangements of arrays that PyTorch has a name for: chunk, select, diag and others."""

import operator
from collections.abc import Sequence

import numpy as np

from minigen.autodiff.graph import Traced
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, array_module
from minigen.errors import ShapeError
from minigen.ops.indexing import getitem, scatter_add
from minigen.ops.joining import concatenate, split
from minigen.ops.reduce import sum
from minigen.ops.shape import axis_index, broadcast_to, reshape, transpose

# ---------------------------------------------------------------------------------- parts


def select(input: Array, dim: int, index: int) -> Array:
    """input[..., index] for the last axis, and so on."""
    return getitem(input, (slice(None),) * axis_index(dim, input.ndim) + (operator.index(index),))


def narrow(input: Array, dim: int, start: int, length: int) -> Array:
    """length entries along axis dim, from start on."""
    dim = axis_index(dim, input.ndim)
    first = start + input.shape[dim] if start < 0 else start
    if not 0 <= first <= first + length <= input.shape[dim]:
        raise ShapeError(f"narrow: {length} entries from {start} of axis {dim} of {input.shape}")
    return getitem(input, (slice(None),) * dim + (slice(first, first + length),))


def index_select(input: Array, dim: int, index: Array) -> Array:
    """The entries along axis dim whose numbers are in index."""
    return getitem(input, (slice(None),) * axis_index(dim, input.ndim) + (index,))


def masked_select(input: Array, mask: Array) -> Array:
    """The values of input where mask is true, along one axis."""
    input, mask = broadcast_tensors(input, mask)
    return getitem(input, mask)


def broadcast_tensors(*tensors: Array) -> tuple:
    """All tensors broadcast to one shape."""
    shape = np.broadcast_shapes(*(x.shape for x in tensors))
    return tuple(broadcast_to(x, shape) for x in tensors)


def chunk(input: Array, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` parts along axis dim, of equal length but for the last."""
    n = input.shape[axis_index(dim, input.ndim)]
    length = -(-n // _count("chunk", chunks)) or 1
    return split(input, range(length, n, length), dim)


def tensor_split(
    input: Array, indices_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Array, ...]:
    """Parts along axis dim: a number of them, of which the first are longer, or between indices."""
    if np.ndim(indices_or_sections):
        return split(input, indices_or_sections, dim)
    n, parts = input.shape[axis_index(dim, input.ndim)], _count("tensor_split", indices_or_sections)
    longer = n % parts
    ends = [i * (n // parts) + (i if i < longer else longer) for i in range(1, parts)]
    return split(input, ends, dim)


def _count(name, parts):
    """A number of parts; ShapeError unless it is 1 or more."""
    if operator.index(parts) < 1:
        raise ShapeError(f"{name}: the number of parts must be at least 1, got {parts}")
    return operator.index(parts)


def unbind(input: Array, dim: int = 0) -> tuple:
    """The entries along axis dim, without that axis."""
    return tuple(select(input, dim, i) for i in range(input.shape[axis_index(dim, input.ndim)]))


# ------------------------------------------------------------------------------- matrices


def diagonal(input: Array, offset: int = 0) -> Array:
    """The values of a matrix (M, N) with column - row = offset. ShapeError unless 2 dims."""
    if input.ndim != 2:
        raise ShapeError(f"diagonal: takes a matrix, got shape {input.shape}")
    row, column = (-offset, 0) if offset < 0 else (0, offset)
    number = array_module(raw(input)).arange(
        np.clip(np.subtract(input.shape, (row, column)).min(), 0, None)
    )
    return getitem(input, (row + number, column + number))


def diag(input: Array, diagonal: int = 0) -> Array:
    """The diagonal of a matrix; of a vector, the square matrix that has it as that diagonal."""
    if input.ndim == 2:
        return _diagonal(input, diagonal)
    if input.ndim != 1:
        raise ShapeError(f"diag: takes a matrix or a vector, got shape {input.shape}")
    side = len(input) + abs(diagonal)
    number = array_module(raw(input)).arange(len(input))
    row, column = (-diagonal, 0) if diagonal < 0 else (0, diagonal)
    zeros = array_module(raw(input)).zeros((side, side), input.dtype)
    return scatter_add(zeros, (row + number, column + number), input)


_diagonal = diagonal


def trace(input: Array) -> Array:
    """The sum of the diagonal of a matrix."""
    return sum(diagonal(input))


# ---------------------------------------------------------------------------------- joins


def vstack(tensors: Sequence[Array]) -> Array:
    """Arrays joined along axis 0, vectors as rows."""
    return concatenate([reshape(x, (1, -1)) if x.ndim < 2 else x for x in tensors], 0)


def hstack(tensors: Sequence[Array]) -> Array:
    """Arrays joined along axis 1, vectors along axis 0."""
    tensors = [reshape(x, (1,)) if x.ndim == 0 else x for x in tensors]
    return concatenate(tensors, 0 if tensors and tensors[0].ndim == 1 else 1)


def meshgrid(*tensors: Array, indexing: str | None = None) -> tuple:
    """The coordinates of a grid over vectors: with indexing="ij" axis i is that of vector i.

    indexing="xy" exchanges the first two axes. ValueError without it: NumPy's default is "xy",
    PyTorch's "ij".
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: give indexing='ij' or indexing='xy', not {indexing!r}")
    vectors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else tensors
    shape, n = tuple(len(x) for x in vectors), len(vectors)
    grids = [
        broadcast_to(reshape(x, (-1, *(1,) * (n - 1 - i))), shape) for i, x in enumerate(vectors)
    ]
    if indexing == "xy" and n > 1:
        grids = [transpose(grid, (1, 0, *range(2, n))) for grid in grids]
    return tuple(grids)


# -------------------------------------------------------------------------------- indices


def nonzero(input: Array, as_tuple: bool | None = None) -> Array | tuple:
    """The indices of the values that are not 0.

    as_tuple=True: a vector for each axis, as in NumPy; False: an array (count, ndim), as in
    PyTorch, also known as `argwhere`. TypeError without as_tuple.
    """
    if as_tuple is None:
        raise TypeError(
            "nonzero() needs as_tuple=True for NumPy's vectors, one for each axis, or "
            "as_tuple=False for PyTorch's array (count, ndim), which is argwhere(x)"
        )
    found = np.nonzero(raw(input))
    made = type(input) if isinstance(input, Traced) else np.asarray
    return tuple(map(made, found)) if as_tuple else made(array_module(raw(input)).stack(found, -1))


def argwhere(input: Array) -> Array:
    """The indices (count, ndim) of the values that are not 0."""
    return nonzero(input, as_tuple=False)


def count_nonzero(input: Array, dim: int | tuple[int, ...] | None = None) -> Array:
    """The number of values over dim that are not 0."""
    return sum(input != 0, dim)
