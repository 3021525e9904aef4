"""Pooling: the largest value or the mean under each window, and the repetition that undoes it.

The adjoint pairs: taking values at places and adding values there; the sums of windows and the
spreading of values over windows.
"""

import math

from minigen import kernels
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array
from minigen.backend.dtypes import checked, floating
from minigen.errors import ShapeError
from minigen.ops.joining import stack
from minigen.ops.reduce import mean
from minigen.ops.shape import reshape
from minigen.ops.windows import Sides, check_room, padded, pair


@primitive(lambda g, y, x, index: _scatter_along_rows(g, index=index, size=x.shape[1]))
def _take_along_rows(x, *, index):
    return kernels.take_along_rows(x, index)


@primitive(lambda g, y, x, index, size: _take_along_rows(g, index=index))
def _scatter_along_rows(x, *, index, size):
    return kernels.scatter_along_rows(x, index, size)


@primitive(
    lambda g, y, x, size, stride: _spread_windows(g, size=size, stride=stride, shape=x.shape[2:]),
    prepare=floating,
)
def _sum_windows(x, *, size, stride):
    return kernels.sum_windows(x, size, stride)


@primitive(lambda g, y, x, size, stride, shape: _sum_windows(g, size=size, stride=stride))
def _spread_windows(x, *, size, stride, shape):
    return kernels.sum_windows_vjp(x, size, stride, tuple(shape))


# ------------------------------------------------------------------------------- maximum


@composite
def max_pool2d(
    x: Array, kernel_size: Sides, stride: Sides | None = None, padding: Sides = 0
) -> Array:
    """The largest value under each window of x (N, C, H, W): (N, C, OH, OW), NaN if there is one.

    OH = (H + 2 * padding - kernel_size) // stride + 1; stride is kernel_size by default. The
    padding is never the largest; the first of a tie gets the gradient.
    """
    return _max_pool("max_pool2d", 2, x, kernel_size, stride, padding)


@composite
def max_pool1d(x: Array, kernel_size: int, stride: int | None = None, padding: int = 0) -> Array:
    """max_pool2d for sequences x (N, C, L): (N, C, OL)."""
    return _max_pool("max_pool1d", 1, x, kernel_size, stride, padding)


def _max_pool(name, dims, x, kernel_size, stride, padding):
    size, stride, padding = _settings(name, dims, x, kernel_size, stride, padding)
    N, C, *sides = x.shape
    sides = (1, *sides) if dims == 1 else sides  # a sequence is an image one row high
    index = kernels.max_indices(raw(x).reshape(N, C, *sides), size, stride, padding)
    places = math.prod(index.shape[2:])
    rows = reshape(x, (N * C, math.prod(sides)))  # an image a row
    y = _take_along_rows(rows, index=index.reshape(N * C, places))
    return reshape(y, (N, C, *index.shape[4 - dims :]))


# ---------------------------------------------------------------------------------- mean


@composite
def avg_pool2d(
    x: Array, kernel_size: Sides, stride: Sides | None = None, padding: Sides = 0
) -> Array:
    """The mean under each window of x (N, C, H, W), zeros of the padding included.

    Sizes are those of `max_pool2d`.
    """
    size, stride, padding = _settings("avg_pool2d", 2, x, kernel_size, stride, padding)
    return _sum_windows(padded(x, padding), size=size, stride=stride) * (1 / math.prod(size))


@composite
def adaptive_avg_pool2d(x: Array, output_size: int | tuple[int | None, int | None] | None) -> Array:
    """Means under windows that cut x (N, C, H, W) into output_size (OH, OW); None keeps a side.

    Row u is the mean of the rows from floor(u * H / OH) to ceil((u + 1) * H / OH); so columns.
    """
    name = "adaptive_avg_pool2d"
    _check_images(name, 2, x)
    N, C, H, W = x.shape
    asked = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    asked = [n if size is None else size for n, size in zip((H, W), asked)]
    OH, OW = pair(name, "output_size", asked)
    if H % OH == W % OW == 0:
        return mean(reshape(x, (N, C, OH, H // OH, OW, W // OW)), (3, 5))
    rows = [mean(x[:, :, a:b], 2) for a, b in _cuts(H, OH)]
    columns = [mean(part[..., a:b], -1) for part in [stack(rows, 2)] for a, b in _cuts(W, OW)]
    return stack(columns, 3)


def _cuts(n, parts):
    return [(i * n // parts, -((i + 1) * n // -parts)) for i in range(parts)]


# -------------------------------------------------------------------------------- larger


@composite
def interpolate(x: Array, scale_factor: Sides) -> Array:
    """Each value of x (N, C, H, W) repeated scale_factor times down and across: the nearest one."""
    _check_images("interpolate", 2, x)
    try:
        down, across = pair("interpolate", "scale_factor", scale_factor)
    except ValueError:
        raise ValueError(
            f"interpolate: scale_factor must be a whole number or two, got {scale_factor!r}; "
            "for other factors index x with the places of the nearest values"
        ) from None
    size, sides = (down, across), (down * x.shape[2], across * x.shape[3])
    return _spread_windows(x, size=size, stride=size, shape=sides)  # windows side by side


# ------------------------------------------------------------------------- what is refused


def _settings(name, dims, x, kernel_size, stride, padding):
    _check_images(name, dims, x)
    size = pair(name, "kernel_size", kernel_size, dims=dims)
    stride = size if stride is None else pair(name, "stride", stride, dims=dims)
    padding = pair(name, "padding", padding, 0, dims=dims)
    if any(2 * p > k for p, k in zip(padding, size)):
        raise ValueError(
            f"{name}: padding={padding[2 - dims :]} must be at most half of "
            f"kernel_size={size[2 - dims :]}, or a window would hold nothing else"
        )
    sides = [n + 2 * p for n, p in zip(x.shape[2:], padding[2 - dims :])]
    check_room(name, sides, size[2 - dims :])
    return size, stride, padding


def _check_images(name, dims, x):
    if x.ndim != 2 + dims:
        layout = "(N, C, H, W)" if dims == 2 else "(N, C, L)"
        raise ShapeError(f"{name}: x must be {layout}, got shape {x.shape}")
    checked((x,))
