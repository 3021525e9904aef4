"""Pooling (maximum or mean of each window) and nearest-neighbour upsampling.

Adjoint pairs of ops: _take_along_rows and _scatter_along_rows; _sum_windows and _spread_windows.
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
from minigen.ops.windows import IntOrPair, check_window_fits, padded, pair


@primitive(lambda g, y, x, index: _scatter_along_rows(g, index=index, size=x.shape[1]))
def _take_along_rows(x, *, index):
    """y[m, p] = x[m, index[m, p]]: x (M, S), index and y (M, P)."""
    return kernels.take_along_rows(x, index)


@primitive(lambda g, y, x, index, size: _take_along_rows(g, index=index))
def _scatter_along_rows(x, *, index, size):
    """y[m, index[m, p]] += x[m, p], from zeros: x and index (M, P), y (M, size)."""
    return kernels.scatter_along_rows(x, index, size)


@primitive(
    lambda g, y, x, size, stride: _spread_windows(g, size=size, stride=stride, shape=x.shape[2:]),
    prepare=floating,
)
def _sum_windows(x, *, size, stride):
    """The sum of each window: x (N, C, H, W), y (N, C, OH, OW), size = (kh, kw)."""
    return kernels.sum_windows(x, size, stride)


@primitive(lambda g, y, x, size, stride, shape: _sum_windows(g, size=size, stride=stride))
def _spread_windows(x, *, size, stride, shape):
    """Each x[n, c, u, v] added to all of window (u, v): x (N, C, OH, OW), shape = (H, W)."""
    return kernels.sum_windows_vjp(x, size, stride, tuple(shape))


# ------------------------------------------------------------------------------- maximum


@composite
def max_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0
) -> Array:
    """The maximum of each window of x (N, C, H, W): (N, C, OH, OW); NaN if the window has one.

    OH = (H + 2 * padding - kernel_size) // stride + 1; stride is kernel_size by default. Padding
    counts as -inf. Of equal maxima, the first gets the gradient.
    """
    return _max_pool("max_pool2d", 2, x, kernel_size, stride, padding)


@composite
def max_pool1d(x: Array, kernel_size: int, stride: int | None = None, padding: int = 0) -> Array:
    """max_pool2d for sequences x (N, C, L): (N, C, OL)."""
    return _max_pool("max_pool1d", 1, x, kernel_size, stride, padding)


def _max_pool(name, dims, x, kernel_size, stride, padding):
    """max_pool2d (dims = 2) or max_pool1d (dims = 1), with arguments checked in its name."""
    size, stride, padding = _settings(name, dims, x, kernel_size, stride, padding)
    N, C, *image_size = x.shape
    image_size = (1, *image_size) if dims == 1 else image_size  # a sequence has H = 1
    index = kernels.max_indices(raw(x).reshape(N, C, *image_size), size, stride, padding)
    rows = reshape(x, (N * C, math.prod(image_size)))
    y = _take_along_rows(rows, index=index.reshape(N * C, math.prod(index.shape[2:])))
    return reshape(y, (N, C, *index.shape[4 - dims :]))


# ---------------------------------------------------------------------------------- mean


@composite
def avg_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0
) -> Array:
    """The mean of each window of x (N, C, H, W), zeros of the padding included: (N, C, OH, OW).

    OH, OW and the default of stride are those of `max_pool2d`.
    """
    size, stride, padding = _settings("avg_pool2d", 2, x, kernel_size, stride, padding)
    return _sum_windows(padded(x, padding), size=size, stride=stride) * (1 / math.prod(size))


@composite
def adaptive_avg_pool2d(x: Array, output_size: int | tuple[int | None, int | None] | None) -> Array:
    """Means of OH x OW windows that cover x (N, C, H, W): (N, C, OH, OW).

    Window u has the rows from floor(u * H / OH) to ceil((u + 1) * H / OH), and columns likewise.
    output_size is (OH, OW), or one number for both; None stands for H or W.
    """
    name = "adaptive_avg_pool2d"
    _check_images(name, 2, x)
    N, C, H, W = x.shape
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    sizes = [n if size is None else size for n, size in zip((H, W), sizes)]
    OH, OW = pair(name, "output_size", sizes)
    if H % OH == W % OW == 0:
        return mean(reshape(x, (N, C, OH, H // OH, OW, W // OW)), (3, 5))
    rows = [mean(x[:, :, a:b], 2) for a, b in _adaptive_ranges(H, OH)]
    y = stack(rows, 2)  # (N, C, OH, W)
    return stack([mean(y[..., a:b], -1) for a, b in _adaptive_ranges(W, OW)], 3)


def _adaptive_ranges(n, parts):
    """(first, last) of each of the windows that cover n values; they overlap by at most one."""
    return [(i * n // parts, -((i + 1) * n // -parts)) for i in range(parts)]


# ---------------------------------------------------------------------------- upsampling


@composite
def interpolate(x: Array, scale_factor: IntOrPair) -> Array:
    """Nearest-neighbour upsampling: each value of x (N, C, H, W) repeated along H and along W.

    scale_factor is a whole number or two, (along H, along W); the result is
    (N, C, H * scale_factor, W * scale_factor).
    """
    _check_images("interpolate", 2, x)
    try:
        sh, sw = pair("interpolate", "scale_factor", scale_factor)
    except ValueError:
        raise ValueError(
            f"interpolate: scale_factor must be a whole number or two, got {scale_factor!r}; "
            "for other factors index x with the indices of the nearest values"
        ) from None
    size, shape = (sh, sw), (sh * x.shape[2], sw * x.shape[3])
    return _spread_windows(x, size=size, stride=size, shape=shape)  # windows without overlap


# --------------------------------------------------------------------- argument checks


def _settings(name, dims, x, kernel_size, stride, padding):
    """kernel_size, stride and padding as pairs (along H, along W), checked in the op's name."""
    _check_images(name, dims, x)
    size = pair(name, "kernel_size", kernel_size, dims=dims)
    stride = size if stride is None else pair(name, "stride", stride, dims=dims)
    padding = pair(name, "padding", padding, 0, dims=dims)
    if any(2 * p > k for p, k in zip(padding, size)):
        raise ValueError(
            f"{name}: padding={padding[2 - dims :]} must be at most half of "
            f"kernel_size={size[2 - dims :]}, or a window would hold nothing else"
        )
    padded_size = [n + 2 * p for n, p in zip(x.shape[2:], padding[2 - dims :])]
    check_window_fits(name, padded_size, size[2 - dims :])
    return size, stride, padding


def _check_images(name, dims, x):
    """ShapeError unless x is (N, C, H, W), or (N, C, L) for dims = 1; DTypeError for its dtype."""
    if x.ndim != 2 + dims:
        layout = "(N, C, H, W)" if dims == 2 else "(N, C, L)"
        raise ShapeError(f"{name}: x must be {layout}, got shape {x.shape}")
    checked((x,))
