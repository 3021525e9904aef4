"""Images of another size: nearest-neighbour and bilinear interpolation."""

import math

import numpy as np

from minigen.autodiff.primitives import composite, raw
from minigen.backend.arrays import Array, array_module
from minigen.backend.dtypes import FLOATS
from minigen.errors import ShapeError
from minigen.ops.indexing import getitem
from minigen.ops.linalg import matmul
from minigen.ops.pooling import _spread_windows, check_images
from minigen.ops.windows import IntOrPair, pair


@composite
def interpolate(
    x: Array,
    scale_factor: float | tuple[float, float] | None = None,
    size: IntOrPair | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    """x (N, C, H, W) at another size: (OH, OW) = size, or floor(H * scale_factor) and likewise W.

    One of scale_factor and size is given: a number, or two, along H and along W. Row u of the
    result is at (u + 0.5) * H / OH - 0.5 in x. mode="nearest" takes the value before u * H / OH,
    "bilinear" weighs the two values around it. With align_corners the corners of both images
    coincide: row u is at u * (H - 1) / (OH - 1).
    """
    check_images("interpolate", 2, x)
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"interpolate: mode must be 'nearest' or 'bilinear', got {mode!r}")
    if align_corners and mode == "nearest":
        raise ValueError("interpolate: align_corners is for mode='bilinear'")
    if (scale_factor is None) == (size is None):
        raise ValueError("interpolate: give one of scale_factor and size")
    sizes, steps = _sizes(x.shape[2:], scale_factor, size)
    factors = [out // n if n and out % n == 0 else 0 for n, out in zip(x.shape[2:], sizes)]
    if mode == "nearest" and all(f and f * step == 1 for f, step in zip(factors, steps)):
        # windows without overlap
        return _spread_windows(x, size=tuple(factors), stride=tuple(factors), shape=sizes)
    if 0 in x.shape[2:]:
        raise ShapeError(f"interpolate: the images of x {x.shape} have no values")
    if mode == "nearest":
        rows, columns = (_nearest(*axis) for axis in zip(x.shape[2:], sizes, steps))
        asarray = array_module(raw(x)).asarray
        return getitem(x, (..., asarray(rows)[:, None], asarray(columns)))
    for axis, (out, step) in enumerate(zip(sizes, steps), 2):
        weights = _weights(x.shape[axis], out, step, align_corners)
        dtype = x.dtype if x.dtype in FLOATS else np.float32
        weights = array_module(raw(x)).asarray(weights, dtype=dtype)  # (out, n)
        x = matmul(weights, x) if axis == 2 else matmul(x, weights.T)
    return x


def _sizes(image_size, scale_factor, size):
    """The size of the result (OH, OW), and how far apart its rows and columns are in x."""
    if size is not None:
        sizes = pair("interpolate", "size", size)
        return sizes, [n / out for n, out in zip(image_size, sizes)]
    scales = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor,) * 2
    try:
        scales = [float(scale) for scale in scales]
    except (TypeError, ValueError):
        scales = []
    if len(scales) != 2 or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(
            f"interpolate: scale_factor must be a number above 0, or two, got {scale_factor!r}"
        )
    sizes = tuple(math.floor(n * scale) for n, scale in zip(image_size, scales))
    if any(out == 0 and n for n, out in zip(image_size, sizes)):
        raise ShapeError(f"interpolate: scale_factor {scale_factor} leaves nothing of {image_size}")
    return sizes, [1 / scale for scale in scales]


def _nearest(n, out, step):
    """The index, among n values, of each of `out` values that are `step` apart.

    As in PyTorch: float32, since rounding decides at the boundaries, and two cases of their own.
    """
    if out == n:  # a factor such as 1.3 that leaves the size changes nothing
        return np.arange(n)
    step = np.float32(0.5 if out == 2 * n else step)
    return np.minimum(np.floor(np.arange(out, dtype=np.float32) * step).astype(int), n - 1)


def _weights(n, out, step, align_corners):
    """The matrix (out, n) with which n values become `out` values, which are `step` apart."""
    if out == n:
        return np.eye(n)
    weights, rows = np.zeros((out, n)), np.arange(out)
    if align_corners:
        at = rows * ((n - 1) / (out - 1) if out > 1 else 0.0)
    else:
        at = np.maximum((rows + 0.5) * step - 0.5, 0)
    before = np.minimum(at.astype(int), n - 1)
    after = np.minimum(before + 1, n - 1)
    weights[rows, before] = 1 - (at - before)
    weights[rows, after] += at - before
    return weights
