"""Windows that slide over images: their values as columns, their sums, the places of their maxima.

Images are (N, C, H, W); size, stride, dilation and padding are pairs (along H, along W).
"""

from itertools import product

import numpy as np

from minigen.backend.arrays import array_module


def window_counts(sides, size, stride, dilation=(1, 1)):
    """How many windows of that size find room along each of sides."""
    lines = zip(sides, size, stride, dilation)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in lines)


def im2col(x, size, stride, dilation):
    """The values under each window: cols (N, C, kh, kw, OH, OW) of x (N, C, H, W).

    cols[n, c, i, j, u, v] = x[n, c, u * stride + i * dilation, v * stride + j * dilation].
    """
    sides = window_counts(x.shape[2:], size, stride, dilation)
    steps = [s * n for n, s in zip(x.strides[2:], dilation)]  # from place to place
    steps += [s * n for n, s in zip(x.strides[2:], stride)]  # from window to window
    xp, shape = array_module(x), (*x.shape[:2], *size, *sides)
    if 0 in shape:
        return xp.zeros(shape, x.dtype)
    view = xp.lib.stride_tricks.as_strided(x, shape, (*x.strides[:2], *steps))
    return xp.ascontiguousarray(view)


def col2im(cols, shape, stride, dilation):
    """The adjoint of im2col: (N, C, H, W) with each value of cols added where it came from."""
    x = array_module(cols).zeros((*cols.shape[:2], *shape), cols.dtype)
    for place in product(*map(range, cols.shape[2:4])):
        here = (..., *place, slice(None), slice(None))
        x[_seen_from(place, cols.shape[4:], stride, dilation)] += cols[here]
    return x


def _seen_from(place, sides, stride, dilation):
    """The index of what lies at one place of every window."""
    starts = (i * d for i, d in zip(place, dilation))
    return (..., *(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, stride, sides)))


def sum_windows(x, size, stride):
    """The sum under each window, (N, C, OH, OW)."""
    sides = window_counts(x.shape[2:], size, stride)
    y = array_module(x).zeros((*x.shape[:2], *sides), x.dtype)
    for place in product(*map(range, size)):
        y += x[_seen_from(place, sides, stride, (1, 1))]
    return y


def sum_windows_vjp(g, size, stride, shape):
    """The adjoint of sum_windows: (N, C, H, W) with g (N, C, OH, OW) added under each window."""
    x = array_module(g).zeros((*g.shape[:2], *shape), g.dtype)
    for place in product(*map(range, size)):
        x[_seen_from(place, g.shape[2:], stride, (1, 1))] += g
    return x


def max_indices(x, size, stride, padding):
    """Where the maximum under each window is: index h * W + w, int32 (N, C, OH, OW).

    The first of a tie; the last NaN if there is one. The padding, less than a window, is never it.
    """
    xp, (n, c, *sides) = array_module(x), x.shape
    lines = zip(sides, size, stride, padding)
    starts = [xp.arange((m + 2 * p - k) // s + 1) * s - p for m, k, s, p in lines]
    places = xp.full((n, c, *map(len, starts)), -1, np.int32)
    best = xp.zeros(places.shape, x.dtype)
    for i, j in product(*map(range, size)):
        h, w = (starts[0] + i)[:, None], starts[1] + j
        inside = (h >= 0) & (h < sides[0]) & (w >= 0) & (w < sides[1])
        h, w = xp.clip(h, 0, sides[0] - 1), xp.clip(w, 0, sides[1] - 1)
        value = x[:, :, h, w]
        better = inside & ((value > best) | (value != value) | (places < 0))
        places = xp.where(better, (h * sides[1] + w).astype(np.int32), places)
        best = xp.where(better, value, best)
    return places


def take_along_rows(x, index):
    """y[m, p] = x[m, index[m, p]]: x (M, S), index (M, P) in [0, S)."""
    return array_module(x).take_along_axis(x, index, 1)


def scatter_along_rows(g, index, size):
    """The adjoint of take_along_rows: x (M, size), where x[m, index[m, p]] += g[m, p] in order."""
    xp = array_module(g)
    x = xp.zeros((len(g), size), g.dtype)
    xp.add.at(x, (xp.arange(len(g))[:, None], index), g)
    return x
