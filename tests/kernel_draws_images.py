"""The arguments that the kernels of images are tested with, drawn from `Choices`."""

import numpy as np

from minigen.kernels import reference
from minigen.testing.cases_neural import spread_rows


def draw_windows(c):
    """Channels of images, and size, stride and dilation of windows that find room in them."""
    size, stride, dilation = ((c.integer(1, 3), c.integer(1, 3)) for _ in range(3))
    sides = [d * (k - 1) + 1 + c.integer(0, 3) for k, d in zip(size, dilation)]
    return [c.array((c.integer(0, 2), c.integer(1, 2), *sides)), size, stride, dilation]


def draw_convolve(c):
    """Small ones of every kind, and some that are cut in strips, in pieces and in several runs."""
    sizes = c.pick((None, None, (5, 1, 70, (30, 21)), (2, 3, 20, (40, 35)), (9, 70, 130, (6, 5))))
    groups, stride, dilation = (1, *((c.integer(1, 2), c.integer(1, 2)) for _ in range(2)))
    N, C, F, sides = sizes or (c.integer(0, 6), c.integer(1, 3), c.integer(1, 9), None)
    size, padding = (3, c.integer(1, 3)), (c.integer(0, 2), c.integer(0, 1))
    if not sizes:
        groups, size = c.integer(1, 3), (c.integer(1, 3), c.integer(1, 3))
        spans = [d * (k - 1) + 1 - 2 * p for k, d, p in zip(size, dilation, padding)]
        sides = [max(span, 1) + c.integer(0, 4) for span in spans]
    x, w = c.array((N, groups * C, *sides)), c.array((groups * F, C, *size))
    return [x, w, c.pick((None, c.array((len(w),)))), stride, padding, dilation, groups]


def draw_convolve_transpose(c):
    x, w, bias, *how = draw_convolve(c)
    gy = c.array(reference.convolve(x, w, bias, *how).shape)
    bias = c.pick((None, c.array((x.shape[1],))))
    if c.pick((False, False, True)):  # some windows fewer than find room
        gy = gy[:, :, : max(gy.shape[2] - 1, 1), : max(gy.shape[3] - 1, 1)].copy()
    return [gy, w, bias, x.shape[2:], *how]


def draw_convolve_weight(c):
    x, w, _, *how = draw_convolve(c)
    return [c.array(reference.convolve(x, w, None, *how).shape), x, w.shape[2:], *how]


def draw_sum_windows(c):
    x, size, stride, _ = draw_windows(c)
    return [x, size, stride]


def draw_spread_windows(c):
    x, size, stride = draw_sum_windows(c)
    return [c.array(reference.sum_windows(x, size, stride).shape), size, stride, x.shape[2:]]


def draw_max_places(c):
    x, size, stride, _ = draw_windows(c)
    if c.pick((False, False, True)):  # many windows of 2 x 2, side by side: cut in pieces
        x, size, stride = c.array((8, 16, 29, 31)), (2, 2), (2, 2)
        return [np.where(c.rng.random(x.shape) < 0.1, np.nan, np.round(x)), size, stride, (0, 0)]
    x = np.where(c.rng.random(x.shape) < 0.1, np.nan, np.round(x))  # ties, NaN
    return [x, size, stride, tuple(c.integer(0, k // 2) for k in size)]


def draw_take_in_rows(c):
    n, places, size = c.pick(((0, 3, 4), (2, c.integer(0, 6), c.integer(1, 5)), (100, 900, 30)))
    index = c.integer_array((n, places), 0, size).astype(np.int32)  # the last are cut in pieces
    return [c.array((n, size)), index]


def draw_add_in_rows(c):
    x, index = draw_take_in_rows(c)
    return [c.array(index.shape), index, x.shape[1]]


def draw_batch_norm(c):
    small = c.integer(2, 3), c.integer(0, 3), c.integer(1, 9)
    n, k, s = c.pick((small, (2, 3, 20), (2, 160, 300), (9, 2, 2000)))  # the last are cut
    params = [c.pick((None, c.array((k,)))) for _ in range(2)]
    rows = spread_rows(c, k, n * s).reshape(k, n, s)
    return [rows.swapaxes(0, 1).copy(), *params, 1e-5]


def draw_batch_norm_vjp(c):
    x, weight, bias, eps = draw_batch_norm(c)
    _, mean, _, rstd = reference.batch_norm(x, weight, bias, eps)
    return [c.array(x.shape), x, weight, mean, rstd]


IMAGE_DRAWS = {
    "batch_norm": draw_batch_norm,
    "batch_norm_vjp": draw_batch_norm_vjp,
    "convolve": draw_convolve,
    "convolve_transpose": draw_convolve_transpose,
    "convolve_weight": draw_convolve_weight,
    "sum_windows": draw_sum_windows,
    "sum_windows_vjp": draw_spread_windows,
    "max_indices": draw_max_places,
    "take_along_rows": draw_take_in_rows,
    "scatter_along_rows": draw_add_in_rows,
}
