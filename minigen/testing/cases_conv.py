"""Cases of convolution."""

from itertools import product

import numpy as np

from minigen.testing.case import Case
from minigen.testing.choices import Choices


def pair(value):
    """A setting for rows and columns."""
    return value if isinstance(value, tuple) else (value, value)


def bordered(x, padding, value=0.0):
    """x with a border of value around its last two axes."""
    (p, q), (h, w) = padding, x.shape[2:]
    y = np.full((*x.shape[:2], h + 2 * p, w + 2 * q), value, x.dtype)
    y[:, :, p : p + h, q : q + w] = x
    return y


def convolve(x, w, stride, dilation, groups):
    """By seven loops, two of them over arrays."""
    (n, _, *sides), (f, d, *size) = x.shape, w.shape
    counts = [(m - e * (k - 1) - 1) // s + 1 for m, k, s, e in zip(sides, size, stride, dilation)]
    y = np.zeros((n, f, *counts), np.result_type(x, w))
    for o, u, v, i, j in product(range(f), *map(range, counts), *map(range, size)):
        first = o // (f // groups) * d
        row, column = u * stride[0] + i * dilation[0], v * stride[1] + j * dilation[1]
        y[:, o, u, v] += x[:, first : first + d, row, column] @ w[o, :, i, j]
    return y


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    (n, f, *counts), (_, d, *kernel), (p, q) = gy.shape, w.shape, padding
    whole = [m + 2 * a for m, a in zip(size, padding)]
    x = np.zeros((n, d * groups, *whole), np.result_type(gy, w))
    for o, u, v, i, j in product(range(f), *map(range, counts), *map(range, kernel)):
        first = o // (f // groups) * d
        row, column = u * stride[0] + i * dilation[0], v * stride[1] + j * dilation[1]
        x[:, first : first + d, row, column] += gy[:, o, u, v, None] * w[o, :, i, j]
    x = x[:, :, p : whole[0] - p, q : whole[1] - q]
    return x if bias is None else x + bias[:, None, None]


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    (_, f, *counts), d, x = gy.shape, x.shape[1] // groups, bordered(x, padding)
    w = np.zeros((f, d, *size), np.result_type(gy, x))
    for o, u, v, i, j in product(range(f), *map(range, counts), *map(range, size)):
        first = o // (f // groups) * d
        row, column = u * stride[0] + i * dilation[0], v * stride[1] + j * dilation[1]
        w[o, :, i, j] += gy[:, o, u, v] @ x[:, first : first + d, row, column]
    return w


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    y = convolve(bordered(x, pair(padding)), weight, pair(stride), pair(dilation), groups)
    return y if bias is None else y + bias[:, None, None]


def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    x, weight = x[:, :, None], weight[:, :, None]
    return conv2d(x, weight, bias, (1, stride), (0, padding), (1, dilation), groups)[:, :, 0]


def conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    stride, padding, dilation = pair(stride), pair(padding), pair(dilation)
    lines = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, pair(output_padding))
    size = [(n - 1) * s - 2 * p + d * (k - 1) + 1 + e for n, k, s, p, d, e in lines]
    return convolve_transpose(x, weight, bias, size, stride, padding, dilation, groups)


def setting(c: Choices, low, high):
    """A number for both sides, or one for each."""
    return c.pick((c.integer(low, high), (c.integer(low, high), c.integer(low, high))))


def _draw_geometry(c):
    """Channels, filters, groups, a kernel, and settings of the windows, all small."""
    groups, size = c.pick((1, 1, 2)), (c.integer(1, 3), c.integer(1, 2))
    channels, filters = groups * c.integer(1, 2), groups * c.integer(1, 2)
    return groups, channels, filters, size, setting(c, 1, 3), setting(c, 1, 2)


def sides_for(c, size, dilation, padding=(0, 0)):
    """Sides of images in which windows find room."""
    lines = zip(size, pair(dilation), pair(padding))
    return tuple(max(d * (k - 1) + 1 - 2 * p, 1) + c.integer(0, 2) for k, d, p in lines)


def _draw_conv2d(c):
    groups, C, F, size, stride, dilation = _draw_geometry(c)
    padding = setting(c, 0, 2)
    x = c.array((c.integer(0, 2), C, *sides_for(c, size, dilation, padding)))
    arrays = (x, c.array((F, C // groups, *size)), c.pick((None, c.array((F,)))))
    if c.integer(0, 3) == 0:
        return (*arrays, stride, padding, dilation, groups), {}
    return arrays, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _draw_conv1d(c):
    groups, C, F, (k, _), *_ = _draw_geometry(c)
    stride, padding, dilation = c.integer(1, 3), c.integer(0, 2), c.integer(1, 2)
    x = c.array((c.integer(0, 3), C, sides_for(c, (k, 1), dilation, padding)[0]))
    arrays = (x, c.array((F, C // groups, k)), c.pick((None, c.array((F,)))))
    return arrays, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _draw_conv_transpose2d(c):
    groups, C, F, size, stride, dilation = _draw_geometry(c)
    most = (max(s, d) - 1 for s, d in zip(pair(stride), pair(dilation)))
    options = {
        "stride": stride,
        "padding": setting(c, 0, 1),
        "output_padding": tuple(c.integer(0, e) for e in most),
        "groups": groups,
        "dilation": dilation,
    }
    x = c.array((c.integer(0, 2), C, c.integer(3, 4), c.integer(3, 4)))
    return (x, c.array((C, F // groups, *size)), c.pick((None, c.array((F,))))), options


def _draw_core(kind):
    """A draw of two of images x, filters w and results y, and the sizes that the op needs."""

    def draw(c):
        groups, C, F, size, stride, dilation = _draw_geometry(c)
        padding = pair(setting(c, 0, 1))
        how = {"stride": pair(stride), "dilation": pair(dilation), "groups": groups}
        sides, N = sides_for(c, size, dilation, padding), c.integer(0, 2)
        x, w = c.array((N, C, *sides)), c.array((F, C // groups, *size))
        y = c.array(convolve(bordered(x, padding), w, **how).shape)
        how["padding"] = padding
        if kind == "transpose":
            return (y, w, c.pick((None, c.array((C,))))), {"size": sides} | how
        return (y, x), {"size": size} | how

    return draw


CONV = {
    "conv1d": Case(conv1d, _draw_conv1d),
    "conv2d": Case(conv2d, _draw_conv2d, order=3),
    "conv_transpose2d": Case(conv_transpose2d, _draw_conv_transpose2d),
    "_convolve_transpose": Case(convolve_transpose, _draw_core("transpose")),
    "_convolve_weight": Case(convolve_weight, _draw_core("weight")),
}
