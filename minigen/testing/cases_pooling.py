"""Cases of pooling and interpolation."""

from itertools import product

import numpy as np

from minigen.testing.case import Case
from minigen.testing.cases_conv import bordered, image_size, pair, setting
from minigen.testing.choices import Choices


def _pooled(x, kernel_size, stride, padding, border, pick):
    """pick(values (N, C, k * m) of a window) for each window of k x m."""
    size, padding = pair(kernel_size), pair(padding)
    stride = size if stride is None else pair(stride)
    x = bordered(x, padding, border)
    out = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], size, stride)]
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for u, v in product(*map(range, out)):
        (a, b), (k, m) = (u * stride[0], v * stride[1]), size
        y[:, :, u, v] = pick(x[:, :, a : a + k, b : b + m].reshape(*x.shape[:2], k * m))
    return y


def _largest(values):
    index = np.argmax(values.real, -1)
    return np.take_along_axis(values, index[..., None], -1)[..., 0]


def max_pool2d(x, kernel_size, stride=None, padding=0):
    return _pooled(x, kernel_size, stride, padding, -np.inf, _largest)


def max_pool1d(x, kernel_size, stride=None, padding=0):
    stride = kernel_size if stride is None else stride
    return max_pool2d(x[:, :, None], (1, kernel_size), (1, stride), (0, padding))[:, :, 0]


def avg_pool2d(x, kernel_size, stride=None, padding=0):
    return _pooled(x, kernel_size, stride, padding, 0.0, lambda v: v.sum(-1) / v.shape[-1])


def adaptive_avg_pool2d(x, output_size):
    sizes = output_size if isinstance(output_size, tuple) else (output_size,) * 2
    out = [n if size is None else size for n, size in zip(x.shape[2:], sizes)]
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for index in product(*map(range, out)):
        window = [
            slice(int(np.floor(i * n / m)), int(np.ceil((i + 1) * n / m)))
            for i, n, m in zip(index, x.shape[2:], out)
        ]
        values = x[(..., *window)]
        y[(..., *index)] = values.sum((2, 3)) / np.prod(values.shape[2:])
    return y


def interpolate(x, scale_factor):
    return np.kron(x, np.ones(pair(scale_factor)))


def _draw_pool(values):
    def draw(c):
        size = setting(c, 1, 3)
        padding = tuple(c.integer(0, k // 2) for k in pair(size))
        stride = c.pick((None, setting(c, 1, 3)))
        shape = (c.integer(0, 2), c.integer(1, 2), *image_size(c, pair(size), 1, padding))
        return (values(c, shape), size), {"stride": stride, "padding": padding}

    return draw


def _draw_max_pool1d(c):
    size = c.integer(1, 3)
    padding = c.integer(0, size // 2)
    x = c.distinct((c.integer(0, 2), c.integer(1, 2), size + c.integer(0, 4)))
    return (x, size), c.pick(({}, {"stride": c.integer(1, 3), "padding": padding}))


def _images(c):
    return c.array((c.integer(0, 2), c.integer(1, 2), c.integer(1, 5), c.integer(1, 4)))


def _draw_adaptive(c):
    return (_images(c), c.pick((1, 2, (3, 2), (None, 3), (2, None)))), {}


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
    "max_pool1d": Case(max_pool1d, _draw_max_pool1d),
    "max_pool2d": Case(max_pool2d, _draw_pool(Choices.distinct)),
    "avg_pool2d": Case(avg_pool2d, _draw_pool(Choices.array)),
    "adaptive_avg_pool2d": Case(adaptive_avg_pool2d, _draw_adaptive),
    "interpolate": Case(interpolate, lambda c: ((_images(c), setting(c, 1, 3)), {})),
}
