"""Cases of convolution. The references loop over filters, outputs and the kernel."""

from itertools import product

import numpy as np

from minigen.testing.case import Case
from minigen.testing.choices import Choices


def pair(value):
    """A setting for rows and columns, from one number or from two."""
    return value if isinstance(value, tuple) else (value, value)


def bordered(x, padding, value=0.0):
    """x (N, C, H, W) padded with value on its last two axes."""
    (p, q), (h, w) = padding, x.shape[2:]
    y = np.full((*x.shape[:2], h + 2 * p, w + 2 * q), value, x.dtype)
    y[:, :, p : p + h, q : q + w] = x
    return y


def convolve(x, w, stride, dilation, groups):
    """x (N, C, H, W), w (F, C / groups, *size) -> y (N, F, OH, OW), without padding."""
    (n, _, *image), (f, d, *size) = x.shape, w.shape
    out = [(m - e * (k - 1) - 1) // s + 1 for m, k, s, e in zip(image, size, stride, dilation)]
    y = np.zeros((n, f, *out), np.result_type(x, w))
    for o, u, v, i, j in product(range(f), *map(range, out), *map(range, size)):
        first = o // (f // groups) * d
        row, column = u * stride[0] + i * dilation[0], v * stride[1] + j * dilation[1]
        y[:, o, u, v] += x[:, first : first + d, row, column] @ w[o, :, i, j]
    return y


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    """The gradient of the images, of that size, for the gradient gy of the outputs."""
    (n, f, *out), (_, d, *kernel), (p, q) = gy.shape, w.shape, padding
    whole = [m + 2 * a for m, a in zip(size, padding)]
    x = np.zeros((n, d * groups, *whole), np.result_type(gy, w))
    for o, u, v, i, j in product(range(f), *map(range, out), *map(range, kernel)):
        first = o // (f // groups) * d
        row, column = u * stride[0] + i * dilation[0], v * stride[1] + j * dilation[1]
        x[:, first : first + d, row, column] += gy[:, o, u, v, None] * w[o, :, i, j]
    x = x[:, :, p : whole[0] - p, q : whole[1] - q]
    return x if bias is None else x + bias[:, None, None]


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    """The gradient of the filters, whose kernel is of that size."""
    (_, f, *out), d, x = gy.shape, x.shape[1] // groups, bordered(x, padding)
    w = np.zeros((f, d, *size), np.result_type(gy, x))
    for o, u, v, i, j in product(range(f), *map(range, out), *map(range, size)):
        first = o // (f // groups) * d
        row, column = u * stride[0] + i * dilation[0], v * stride[1] + j * dilation[1]
        w[o, :, i, j] += gy[:, o, u, v] @ x[:, first : first + d, row, column]
    return w


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if padding == "same":
        longer = [d * (k - 1) for k, d in zip(weight.shape[2:], pair(dilation))]
        x = np.pad(x, ((0, 0), (0, 0), *((n // 2, n - n // 2) for n in longer)))
    x = x if isinstance(padding, str) else bordered(x, pair(padding))
    y = convolve(x, weight, pair(stride), pair(dilation), groups)
    return y if bias is None else y + bias[:, None, None]


def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    x, weight = x[:, :, None], weight[:, :, None]
    return conv2d(x, weight, bias, (1, stride), (0, padding), (1, dilation), groups)[:, :, 0]


def conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    stride, padding, dilation = pair(stride), pair(padding), pair(dilation)
    axes = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, pair(output_padding))
    size = [(n - 1) * s - 2 * p + d * (k - 1) + 1 + e for n, k, s, p, d, e in axes]
    return convolve_transpose(x, weight, bias, size, stride, padding, dilation, groups)


def setting(c: Choices, low, high):
    """A number for rows and columns, or a pair of numbers."""
    return c.pick((c.integer(low, high), (c.integer(low, high), c.integer(low, high))))


def _draw_geometry(c):
    """(groups, channels, filters, kernel size, stride, dilation), all small."""
    groups, size = c.pick((1, 1, 2)), (c.integer(1, 3), c.integer(1, 2))
    channels, filters = groups * c.integer(1, 2), groups * c.integer(1, 2)
    return groups, channels, filters, size, setting(c, 1, 3), setting(c, 1, 2)


def image_size(c, size, dilation, padding=(0, 0)):
    """(H, W) of images that have room for at least one window."""
    axes = zip(size, pair(dilation), pair(padding))
    return tuple(max(d * (k - 1) + 1 - 2 * p, 1) + c.integer(0, 2) for k, d, p in axes)


def _draw_conv2d(c):
    groups, C, F, size, stride, dilation = _draw_geometry(c)
    padding = setting(c, 0, 2)
    x = c.array((c.integer(0, 2), C, *image_size(c, size, dilation, padding)))
    arrays = (x, c.array((F, C // groups, *size)), c.pick((None, c.array((F,)))))
    if c.integer(0, 3) == 0:
        return (*arrays, stride, padding, dilation, groups), {}
    if c.integer(0, 3) == 0:
        stride, padding = 1, "same"
    return arrays, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _draw_conv1d(c):
    groups, C, F, (k, _), *_ = _draw_geometry(c)
    stride, padding, dilation = c.integer(1, 3), c.integer(0, 2), c.integer(1, 2)
    x = c.array((c.integer(0, 3), C, image_size(c, (k, 1), dilation, padding)[0]))
    arrays = (x, c.array((F, C // groups, k)), c.pick((None, c.array((F,)))))
    return arrays, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _draw_conv_transpose2d(c):
    groups, C, F, size, stride, dilation = _draw_geometry(c)
    largest = (max(s, d) - 1 for s, d in zip(pair(stride), pair(dilation)))
    options = {
        "stride": stride,
        "padding": setting(c, 0, 1),
        "output_padding": tuple(c.integer(0, e) for e in largest),
        "groups": groups,
        "dilation": dilation,
    }
    x = c.array((c.integer(0, 2), C, c.integer(3, 4), c.integer(3, 4)))
    return (x, c.array((C, F // groups, *size)), c.pick((None, c.array((F,))))), options


def _draw_gradient_op(gradient_of):
    """A draw for the op that computes the gradient of images (from y, w) or of weights (y, x)."""

    def draw(c):
        groups, C, F, size, stride, dilation = _draw_geometry(c)
        padding = pair(setting(c, 0, 1))
        settings = {"stride": pair(stride), "dilation": pair(dilation), "groups": groups}
        image, N = image_size(c, size, dilation, padding), c.integer(0, 2)
        x, w = c.array((N, C, *image)), c.array((F, C // groups, *size))
        y = c.array(convolve(bordered(x, padding), w, **settings).shape)
        settings["padding"] = padding
        if gradient_of == "images":
            return (y, w, c.pick((None, c.array((C,))))), {"size": image} | settings
        return (y, x), {"size": size} | settings

    return draw


CONV = {
    "conv1d": Case(conv1d, _draw_conv1d),
    "conv2d": Case(conv2d, _draw_conv2d, order=3),
    "conv_transpose2d": Case(conv_transpose2d, _draw_conv_transpose2d),
    "_convolve_transpose": Case(convolve_transpose, _draw_gradient_op("images")),
    "_convolve_weight": Case(convolve_weight, _draw_gradient_op("weights")),
}
