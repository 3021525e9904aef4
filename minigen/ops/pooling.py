"""Pooling: the maximum or the mean of each window.

Adjoint pairs of ops: _take_along_rows and _scatter_along_rows; _sum_windows and _spread_windows.
"""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import checked, floating
from minigen.errors import ShapeError
from minigen.ops.joining import pad, stack
from minigen.ops.reduce import mean
from minigen.ops.shape import reshape
from minigen.ops.windows import IntOrPair, check_window_fits, pair


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
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
) -> Array:
    """The maximum of each window of x (N, C, H, W): (N, C, OH, OW); NaN if the window has one.

    OH = (H + 2 * padding - kernel_size) // stride + 1; stride is kernel_size by default. Padding
    counts as -inf. Of equal maxima, the first gets the gradient. With ceil_mode a last window that
    begins in x counts, though it ends beyond it.
    """
    return _max_pool("max_pool2d", 2, x, kernel_size, stride, padding, ceil_mode)


@composite
def max_pool1d(
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
) -> Array:
    """max_pool2d for sequences x (N, C, L): (N, C, OL)."""
    return _max_pool("max_pool1d", 1, x, kernel_size, stride, padding, ceil_mode)


def _max_pool(name, dims, x, kernel_size, stride, padding, ceil_mode):
    """max_pool2d (dims = 2) or max_pool1d (dims = 1), with arguments checked in its name."""
    size, stride, padding = _settings(name, dims, x, kernel_size, stride, padding)
    x = x if dims == 2 else reshape(x, (*x.shape[:2], 1, x.shape[2]))  # a sequence has H = 1
    if ceil_mode and any(beyond := _beyond(x.shape[2:], size, stride, padding)):
        x = pad(x, ((0, 0), (0, 0), *((0, n) for n in beyond)), _lowest(x.dtype))
    N, C, H, W = x.shape
    index = _max_indices(x, size=size, stride=stride, padding=padding)
    rows_of_index = reshape(index, (N * C, math.prod(index.shape[2:])))
    y = _take_along_rows(reshape(x, (N * C, H * W)), index=raw(rows_of_index))
    return reshape(y, (N, C, *index.shape[4 - dims :]))


@primitive(None)
def _max_indices(x, *, size, stride, padding):
    """The index h * W + w of the maximum of each window: int32 (N, C, OH, OW)."""
    return kernels.max_indices(x, size, stride, padding)


def _lowest(dtype):
    """The value that is no maximum: -inf, or the least integer."""
    if dtype.kind == "f":
        return -math.inf
    return np.iinfo(dtype).min if dtype.kind in "iu" else False


def _beyond(image_size, size, stride, padding):
    """How far the last windows of ceil_mode end beyond the padded image, along H and along W."""
    beyond = []
    for n, k, s, p in zip(image_size, size, stride, padding):
        windows = -((n + 2 * p - k) // -s) + 1
        if (windows - 1) * s >= n + p:  # the last one would begin beyond x
            windows -= 1
        beyond.append(max((windows - 1) * s + k - (n + 2 * p), 0))
    return beyond


# ---------------------------------------------------------------------------------- mean


@composite
def avg_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window of x (N, C, H, W): (N, C, OH, OW).

    The zeros of the padding count, or with count_include_pad=False only values of x. OH, OW,
    ceil_mode and the default of stride are those of `max_pool2d`.
    """
    return _avg_pool("avg_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


@composite
def avg_pool1d(
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """avg_pool2d for sequences x (N, C, L): (N, C, OL)."""
    return _avg_pool("avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def _avg_pool(name, dims, x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    """avg_pool2d (dims = 2) or avg_pool1d (dims = 1), with arguments checked in its name."""
    size, stride, padding = _settings(name, dims, x, kernel_size, stride, padding)
    x = x if dims == 2 else reshape(x, (*x.shape[:2], 1, x.shape[2]))
    beyond = _beyond(x.shape[2:], size, stride, padding) if ceil_mode else [0, 0]
    borders = [(p, p + n) for p, n in zip(padding, beyond)]
    total = pad(x, ((0, 0), (0, 0), *borders)) if any(map(any, borders)) else x
    y = _sum_windows(total, size=size, stride=stride)
    if not any(beyond) and (count_include_pad or not any(padding)):
        y = y * (1 / math.prod(size))
    else:  # windows have different numbers of values that count
        counted = padding if count_include_pad else (0, 0)
        ones = np.ones((1, 1, *(n + 2 * p for n, p in zip(x.shape[2:], counted))))
        inner = [(a - p, b - p) for (a, b), p in zip(borders, counted)]
        counts = kernels.sum_windows(pad(ones, ((0, 0), (0, 0), *inner)), size, stride)
        y = y * array_module(raw(y)).asarray(1 / counts, dtype=y.dtype)
    return y if dims == 2 else reshape(y, (*y.shape[:2], y.shape[3]))


# ------------------------------------------------------------------------------ adaptive


OutputSize = int | tuple[int | None, int | None] | None


@composite
def adaptive_avg_pool2d(x: Array, output_size: OutputSize) -> Array:
    """Means of OH x OW windows that cover x (N, C, H, W): (N, C, OH, OW).

    Window u has the rows from floor(u * H / OH) to ceil((u + 1) * H / OH), and columns likewise.
    output_size is (OH, OW), or one number for both; None stands for H or W.
    """
    N, C, H, W = _adaptive_input("adaptive_avg_pool2d", x)
    OH, OW = _adaptive_size("adaptive_avg_pool2d", x, output_size)
    if H % OH == W % OW == 0:
        return mean(reshape(x, (N, C, OH, H // OH, OW, W // OW)), (3, 5))
    rows = [mean(x[:, :, a:b], 2) for a, b in _adaptive_ranges(H, OH)]
    y = stack(rows, 2)  # (N, C, OH, W)
    return stack([mean(y[..., a:b], -1) for a, b in _adaptive_ranges(W, OW)], 3)


@composite
def adaptive_max_pool2d(x: Array, output_size: OutputSize) -> Array:
    """The maximum of each window of `adaptive_avg_pool2d`; NaN if the window has one.

    Of equal maxima, the first gets the gradient.
    """
    N, C, H, W = _adaptive_input("adaptive_max_pool2d", x)
    OH, OW = _adaptive_size("adaptive_max_pool2d", x, output_size)
    if H % OH == W % OW == 0:
        return max_pool2d(x, (H // OH, W // OW))
    index = raw(_adaptive_max_indices(x, output_size=(OH, OW)))
    y = _take_along_rows(reshape(x, (N * C, H * W)), index=index)
    return reshape(y, (N, C, OH, OW))


@primitive(None)
def _adaptive_max_indices(x, *, output_size):
    """The index h * W + w of the maximum of each window: int32 (N * C, OH * OW)."""
    (N, C, H, W), (OH, OW) = x.shape, output_size
    index = array_module(x).empty((N * C, OH * OW), np.int32)
    for u, (a, b) in enumerate(_adaptive_ranges(H, OH)):
        for v, (c, d) in enumerate(_adaptive_ranges(W, OW)):
            first = x[:, :, a:b, c:d].reshape(N * C, -1).argmax(1) if N * C else 0
            index[:, u * OW + v] = (a + first // (d - c)) * W + c + first % (d - c)
    return index


def _adaptive_input(name, x):
    """The shape of x (N, C, H, W); ShapeError for another one, or an image without values."""
    check_images(name, 2, x)
    if 0 in x.shape[2:]:
        raise ShapeError(f"{name}: the images of x {x.shape} have no values")
    return x.shape


def _adaptive_size(name, x, output_size):
    """(OH, OW): output_size with the length of x for None."""
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    return pair(name, "output_size", [n if m is None else m for n, m in zip(x.shape[2:], sizes)])


def _adaptive_ranges(n, parts):
    """(first, last) of each of the windows that cover n values; they overlap by at most one."""
    return [(i * n // parts, -((i + 1) * n // -parts)) for i in range(parts)]


# --------------------------------------------------------------------- argument checks


def _settings(name, dims, x, kernel_size, stride, padding):
    """kernel_size, stride and padding as pairs (along H, along W), checked in the op's name."""
    check_images(name, dims, x)
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


def check_images(name, dims, x):
    """ShapeError unless x is (N, C, H, W), or (N, C, L) for dims = 1; DTypeError for its dtype."""
    if x.ndim != 2 + dims:
        layout = "(N, C, H, W)" if dims == 2 else "(N, C, L)"
        raise ShapeError(f"{name}: x must be {layout}, got shape {x.shape}")
    checked((x,))
