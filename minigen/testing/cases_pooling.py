"""Cases of pooling and interpolation."""

import math
from itertools import product

import numpy as np

from minigen.testing.case import Case
from minigen.testing.cases_conv import image_size, pair, setting
from minigen.testing.choices import Choices


def _windows(n, k, s, p, ceil_mode):
    """(first, last) in the padded axis, for each window of k values, s apart."""
    out = int((np.ceil if ceil_mode else np.floor)((n + 2 * p - k) / s)) + 1
    return [(u * s, u * s + k) for u in range(out) if not ceil_mode or u * s < n + p]


def _pooled(x, kernel_size, stride, padding, ceil_mode, pick):
    """pick(values (N, C, m), inside) for each window: those of x, and how many with padding."""
    size, padding = pair(kernel_size), pair(padding)
    stride = size if stride is None else pair(stride)
    axes = zip(x.shape[2:], size, stride, padding)
    rows, columns = (_windows(*axis, ceil_mode) for axis in axes)
    (H, W), (p, q) = x.shape[2:], padding
    y = np.zeros((*x.shape[:2], len(rows), len(columns)), x.dtype)
    for (u, (a, b)), (v, (c, d)) in product(enumerate(rows), enumerate(columns)):
        values = x[:, :, max(a - p, 0) : b - p, max(c - q, 0) : d - q]
        inside = (min(b, H + 2 * p) - a) * (min(d, W + 2 * q) - c)
        y[:, :, u, v] = pick(values.reshape(*x.shape[:2], math.prod(values.shape[2:])), inside)
    return y


def _largest(values, _):
    index = np.argmax(values.real, -1)
    return np.take_along_axis(values, index[..., None], -1)[..., 0]


def max_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False):
    return _pooled(x, kernel_size, stride, padding, ceil_mode, _largest)


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    def average(values, inside):
        return values.sum(-1) / (inside if count_include_pad else values.shape[-1])

    return _pooled(x, kernel_size, stride, padding, ceil_mode, average)


def _of_sequences(pool):
    def pool1d(x, kernel_size, stride=None, padding=0, **options):
        stride = kernel_size if stride is None else stride
        return pool(x[:, :, None], (1, kernel_size), (1, stride), (0, padding), **options)[:, :, 0]

    return pool1d


def _adaptive(x, output_size, pick):
    sizes = output_size if isinstance(output_size, tuple) else (output_size,) * 2
    out = [n if size is None else size for n, size in zip(x.shape[2:], sizes)]
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for index in product(*map(range, out)):
        window = [
            slice(int(np.floor(i * n / m)), int(np.ceil((i + 1) * n / m)))
            for i, n, m in zip(index, x.shape[2:], out)
        ]
        values = x[(..., *window)]
        y[(..., *index)] = pick(values.reshape(*x.shape[:2], math.prod(values.shape[2:])), None)
    return y


def adaptive_avg_pool2d(x, output_size):
    return _adaptive(x, output_size, lambda values, _: values.sum(-1) / values.shape[-1])


def adaptive_max_pool2d(x, output_size):
    return _adaptive(x, output_size, _largest)


def interpolate(x, scale_factor=None, size=None, mode="nearest", align_corners=False):
    if size is None:
        steps = [1 / scale for scale in pair(scale_factor)]
        size = tuple(int(n * scale) for n, scale in zip(x.shape[2:], pair(scale_factor)))
    else:
        steps = [n / out for n, out in zip(x.shape[2:], pair(size))]
    y = np.zeros((*x.shape[:2], *pair(size)), x.dtype)
    for u, v in np.ndindex(*y.shape[2:]):
        ends = []
        for i, n, out, step in zip((u, v), x.shape[2:], y.shape[2:], steps):
            at = max((i + 0.5) * step - 0.5, 0)
            if align_corners:
                at = i * (n - 1) / max(out - 1, 1)
            if mode == "nearest":
                at = np.floor(i * step)
            first = min(int(at), n - 1)
            ends.append([(first, 1 - at + int(at)), (min(first + 1, n - 1), at - int(at))])
        for (row, a), (column, b) in product(*ends):
            y[:, :, u, v] += a * b * x[:, :, row, column]
    return y


def _draw_pool(values, *flags):
    def draw(c):
        size = setting(c, 1, 3)
        padding = tuple(c.integer(0, k // 2) for k in pair(size))
        stride = c.pick((None, setting(c, 1, 3)))
        shape = (c.integer(0, 2), c.integer(1, 2), *image_size(c, pair(size), 1, padding))
        options = {flag: c.flag() for flag in flags}
        return (values(c, shape), size), {"stride": stride, "padding": padding, **options}

    return draw


def _draw_pool1d(values):
    def draw(c):
        size = c.integer(1, 3)
        padding = c.integer(0, size // 2)
        x = values(c, (c.integer(0, 2), c.integer(1, 2), size + c.integer(0, 4)))
        options = {"stride": c.integer(1, 3), "padding": padding, "ceil_mode": c.flag()}
        return (x, size), c.pick(({}, options))

    return draw


def _images(c):
    return c.array((c.integer(0, 2), c.integer(1, 2), c.integer(1, 5), c.integer(1, 4)))


def _draw_adaptive(values):
    def draw(c):
        return (values(c, _images(c).shape), c.pick((1, 2, (3, 2), (None, 3), (2, None)))), {}

    return draw


def _draw_interpolate(c):
    mode = c.pick(({}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True}))
    sizes = ({"scale_factor": setting(c, 1, 3)}, {"size": setting(c, 1, 6)}, {"scale_factor": 1.5})
    return (_images(c),), c.pick(sizes) | mode


def scatter_along_rows(x, index, size):
    y = np.zeros((len(x), size), x.dtype)
    for m, p in product(*map(range, x.shape)):
        y[m, index[m, p]] += x[m, p]
    return y


def sum_windows_vjp(x, size, stride, shape):
    y = np.zeros((*x.shape[:2], *shape), x.dtype)
    for u, v, i, j in product(*map(range, (*x.shape[2:], *size))):
        y[:, :, u * stride[0] + i, v * stride[1] + j] += x[:, :, u, v]
    return y


def _draw_scatter_along_rows(c):
    x, size = c.array((c.integer(1, 3), c.integer(0, 4))), c.integer(1, 3)
    return (x,), {"index": c.integer_array(x.shape, 0, size).astype(np.int32), "size": size}


def _draw_spread_windows(c):
    size, stride = pair(setting(c, 1, 3)), pair(setting(c, 1, 3))
    x = c.array((c.integer(0, 2), 1, c.integer(1, 2), c.integer(1, 2)))
    axes = zip(x.shape[2:], size, stride)
    shape = tuple((n - 1) * s + k + c.integer(0, s - 1) for n, k, s in axes)
    return (x,), {"size": size, "stride": stride, "shape": shape}


POOLING = {
    "_scatter_along_rows": Case(scatter_along_rows, _draw_scatter_along_rows),
    "_spread_windows": Case(sum_windows_vjp, _draw_spread_windows),
    "max_pool1d": Case(_of_sequences(max_pool2d), _draw_pool1d(Choices.distinct)),
    "max_pool2d": Case(max_pool2d, _draw_pool(Choices.distinct, "ceil_mode")),
    "avg_pool1d": Case(_of_sequences(avg_pool2d), _draw_pool1d(Choices.array)),
    "avg_pool2d": Case(avg_pool2d, _draw_pool(Choices.array, "ceil_mode", "count_include_pad")),
    "adaptive_avg_pool2d": Case(adaptive_avg_pool2d, _draw_adaptive(Choices.array)),
    "adaptive_max_pool2d": Case(adaptive_max_pool2d, _draw_adaptive(Choices.distinct)),
    "interpolate": Case(interpolate, _draw_interpolate),
}
