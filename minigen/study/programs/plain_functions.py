"""Functions that programs define: what NumPy has no function for.

The text of each becomes a part of the programs that call it, so each stands on NumPy, math and the
other functions of this file alone.
"""

import math

import numpy as np


def erf(x):
    """The error function."""
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def softmax(x, axis):
    """exp(x) / sum(exp(x)) along axis."""
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x, axis):
    """log(softmax(x)) along axis."""
    with np.errstate(invalid="ignore"):
        x = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) over axis, without overflow."""
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


def vector_norm(x, order, axis=None, keepdims=False):
    """(sum of |x|^order)^(1 / order) over axis, without overflow."""
    size = np.abs(x)
    top = size.max(axis=axis, keepdims=True, initial=0)
    scale = np.where((top > 0) & np.isfinite(top), top, 1)
    y = ((size / scale) ** order).sum(axis=axis, keepdims=True) ** (1 / order) * scale
    return y if keepdims else y.squeeze(axis)


def argsort_descending(x, axis):
    """The indices that sort x from the largest value on; those of equal values in their order."""
    last = x.shape[axis] - 1
    return np.flip(last - np.flip(x, axis).argsort(axis, kind="stable"), axis)


def scatter(updates, index, shape):
    """Zeros of that shape with updates added at an index; what it names twice gets the sum."""
    y = np.zeros(shape, updates.dtype)
    np.add.at(y, index, updates)
    return y


def scatter_along_rows(x, index, size):
    """y[m, index[m, p]] += x[m, p], from zeros: x and index (M, P), y (M, size)."""
    y = np.zeros((len(x), size), x.dtype)
    np.add.at(y, (np.arange(len(x))[:, None], index), x)
    return y


def pair(n):
    """n along H and along W, for a number or a pair."""
    return n if isinstance(n, tuple) else (n, n)


def windows(x, size, stride=1, dilation=1):
    """The values of x (N, C, H, W) under each window, a view (N, C, OH, OW, kh, kw)."""
    stride, dilation = pair(stride), pair(dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(size, dilation)]
    view = np.lib.stride_tricks.sliding_window_view(x, spans, (2, 3))
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def add_windows(values, shape, stride=1, dilation=1):
    """The adjoint of windows: values (N, C, OH, OW, kh, kw) added up in images of (H, W)."""
    stride, dilation = pair(stride), pair(dilation)
    N, C, OH, OW, kh, kw = values.shape
    x = np.zeros((N, C, *shape), values.dtype)
    for i in range(kh):
        for j in range(kw):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + stride[0] * OH, stride[0])
            columns = slice(left, left + stride[1] * OW, stride[1])
            x[:, :, rows, columns] += values[..., i, j]
    return x


def convolve(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Each window of images x (N, C, H, W) times filters w (F, C / groups, kh, kw): (N, F, ...)."""
    (p, q), parts = pair(padding), []
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)))
    for x_part, w_part in zip(np.split(x, groups, 1), np.split(w, groups)):
        values = windows(x_part, w.shape[2:], stride, dilation)
        parts.append(np.tensordot(values, w_part, ((1, 4, 5), (1, 2, 3))))  # (N, OH, OW, ...)
    y = np.concatenate(parts, -1)
    return (y if bias is None else y + bias).transpose(0, 3, 1, 2)


def convolve_transpose(g, w, bias=None, *, size, stride=1, padding=0, dilation=1, groups=1):
    """The adjoint of convolve in x: each g[n, f, u, v] times filter f, added up in images."""
    (H, W), (p, q), parts = size, pair(padding), []
    for g_part, w_part in zip(np.split(g, groups, 1), np.split(w, groups)):
        values = np.tensordot(g_part, w_part, (1, 0))  # (N, OH, OW, C / groups, kh, kw)
        values = values.transpose(0, 3, 1, 2, 4, 5)
        parts.append(add_windows(values, (H + 2 * p, W + 2 * q), stride, dilation))
    y = np.concatenate(parts, 1)[:, :, p : p + H, q : q + W]
    return y if bias is None else y + bias[:, None, None]


def convolve_weight(g, x, size, stride=1, padding=0, dilation=1, groups=1):
    """The adjoint of convolve in w: the sum of g[n, f, u, v] times window (u, v) of x."""
    (p, q), (OH, OW), parts = pair(padding), g.shape[2:], []
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)))
    for g_part, x_part in zip(np.split(g, groups, 1), np.split(x, groups, 1)):
        values = windows(x_part, size, stride, dilation)[:, :, :OH, :OW]
        parts.append(np.tensordot(g_part, values, ((0, 2, 3), (0, 2, 3))))
    return np.concatenate(parts)


def max_indices(x, size, stride=None, padding=0):
    """The index h * W + w of the first maximum under each window, or of its last NaN."""
    stride = stride or size
    (H, W), (p, q) = x.shape[2:], pair(padding)
    border = ((0, 0), (0, 0), (p, p), (q, q))
    positions = np.pad(np.arange(H * W).reshape(1, 1, H, W), border, constant_values=-1)
    positions, values = windows(positions, size, stride), windows(np.pad(x, border), size, stride)
    index, best = np.full(values.shape[:4], -1), np.zeros(values.shape[:4], x.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            value, position = values[..., i, j], positions[..., i, j]
            better = (position >= 0) & ((value > best) | (value != value) | (index < 0))
            index, best = np.where(better, position, index), np.where(better, value, best)
    return index.astype(np.int32)
