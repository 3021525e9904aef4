"""The three products of convolution: their geometry for `correlation.py` and `few_filters.py`.

Both the product itself and the gradient of images are sums, at each result, over places of a
filter, of a value at that place. With a stride s, results of the gradient that are s apart see
the same places, and those of the product see all: so there are s phases along an axis, or one.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minigen.kernels.cpu import correlation, few_filters, tiles
from minigen.kernels.reference.windows import window_counts
from minigen.parallel import pool
from minigen.parallel.pieces import shares, spans

FLOPS = 60  # a nanosecond, about, on one core
SHARE = 1 / 3  # of the work that would be worth a thread: a piece lays its own images
MOST = 256  # results at a time: they, what they see and a panel of filters fit the second cache
FEW = 3  # filters, and more fill enough of a vector


class Phase(NamedTuple):
    """Results first, first + stride, ... along an axis, so many.

    Number t of them sees, at places[i] of a filter, the value origin + t * step + offsets[i].
    """

    first: int
    count: int
    places: tuple[int, ...]
    offsets: tuple[int, ...]
    origin: int
    step: int


def _forward(n, k, stride, dilation, padding):
    """The one phase of n windows."""
    places = tuple(range(k))
    return (Phase(0, n, places, tuple(i * dilation for i in places), -padding, stride),)


def _backward(n, k, stride, dilation, padding):
    """The phases of n values of images: value h is at place i of window u if
    u * stride + i * dilation = h + padding."""
    phases = []
    for first in range(min(stride, n)):
        places = tuple(i for i in range(k) if (first + padding - i * dilation) % stride == 0)
        windows = tuple((first + padding - i * dilation) // stride for i in places)
        phases.append(Phase(first, len(range(first, n, stride)), places, windows, 0, 1))
    origin = min((u for phase in phases for u in phase.offsets), default=0)
    shifted = [tuple(u - origin for u in phase.offsets) for phase in phases]
    return tuple(p._replace(offsets=o, origin=origin) for p, o in zip(phases, shifted))


class Plan(NamedTuple):
    """How many results are made at a time, and what they see."""

    images: int
    rows: int
    columns: int
    top: int  # the row and the column of an image that is seen first
    left: int
    down: int  # rows and columns from what one result sees to what the next one sees
    right: int
    high: int  # rows and columns that are seen
    wide: int
    apart: tuple[int, int]  # rows and columns of y from one result of a phase to the next


@lru_cache(maxsize=64)
def _planned(axes, apart, images, most):
    """The plan for the phases down and those across."""
    counts = [max(phase.count for phase in axis) for axis in axes]
    reach = [max((o for phase in axis for o in phase.offsets), default=0) for axis in axes]
    down, across = (axis[0] for axis in axes)
    rows = max(min(most // counts[1], counts[0]), 1)
    some = most // (rows * counts[1]) if rows == counts[0] else 1
    images = max(min(some, images), 1)
    high = (rows - 1) * down.step + reach[0] + 1
    wide = (counts[1] - 1) * across.step + reach[1] + 1
    start, step = (down.origin, across.origin), (down.step, across.step)
    return Plan(images, rows, counts[1], *start, *step, high, wide, apart)


@lru_cache(maxsize=64)
def _tables(axes, plan, groups, channels, w_steps):
    """What the kernels want to know of places, in arrays.

    phases: for each of two axes, their first results, and where their places begin and end in
    steps; windows: where each window begins in the images that are laid; steps: from there to
    each place in each channel; taps: where that place is in the filters, whose steps are w_steps.
    """
    plane, c = plan.high * plan.wide, np.arange(channels)
    image, row, column = (np.arange(n) for n in (plan.images, plan.rows, plan.columns))
    windows = _sums(
        image * groups * channels * plane, row * plan.down * plan.wide, column * plan.right
    )
    phases, steps, taps, end = [], [], [], 0
    for down in axes[0]:
        for across in axes[1]:
            rows, columns = np.array(down.offsets, int), np.array(across.offsets, int)
            i, j = np.array(down.places, int), np.array(across.places, int)
            steps.append(_sums(c * plane, rows * plan.wide, columns))
            taps.append(_sums(c * w_steps[0], i * w_steps[1], j * w_steps[2]))
            begin, end = end, end + len(steps[-1])
            phases.append((down.first, across.first, begin, end))
    return np.array(phases), windows, np.concatenate(steps), np.concatenate(taps)


def _sums(a, b, c):
    """All sums of one of each, in order."""
    return (a[:, None, None] + b[:, None] + c).reshape(-1)


def convolve(x, w, bias, stride, padding, dilation, groups):
    x, w, bias = _alike(x, w, bias)
    whole = (n + 2 * p for n, p in zip(x.shape[2:], padding))
    sides = window_counts(whole, w.shape[2:], stride, dilation)
    y = np.empty((len(x), len(w), *sides), x.dtype)
    axes = tuple(map(_forward, sides, w.shape[2:], stride, dilation, padding))
    each, (kh, kw) = math.prod(w.shape[1:]), w.shape[2:]
    return _correlate(x, w, each, (kh * kw, kw, 1), bias, axes, (1, 1), groups, y)


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    gy, w, bias = _alike(gy, w, bias)
    gx = np.empty((len(gy), w.shape[1] * groups, *size), gy.dtype)
    axes = tuple(map(_backward, size, w.shape[2:], stride, dilation, padding))
    each, (kh, kw) = math.prod(w.shape[1:]), w.shape[2:]
    return _correlate(gy, w, kh * kw, (each, kw, 1), bias, axes, tuple(stride), groups, gx)


def _correlate(x, w, w_step, w_steps, bias, axes, apart, groups, y):
    """y, with filters that are w_step apart in w, their channels and places w_steps."""
    if not y.size:
        return y
    N, F = len(x), y.shape[1] // groups
    level = np.zeros((groups, _whole_vectors(F, x.dtype)), x.dtype)
    if bias is not None:
        level[:, :F] = bias.reshape(groups, F)
    kernel = _many
    if F <= FEW and all(phase.step == 1 for axis in axes for phase in axis):
        kernel = _few
    kernel(
        *(a.reshape(N, groups, -1, *a.shape[2:]) for a in (x, y)),
        *(w.reshape(groups, -1), w_step, w_steps, level, axes, apart),
    )
    return y


def _many(x, y, w, w_step, w_steps, level, axes, apart):
    N, groups, C = x.shape[:3]
    plan = _planned(axes, apart, N if N >= 4 else 1, MOST)
    phases, windows, steps, taps = _tables(axes, plan, groups, C, w_steps)
    b = correlation.lay_filters(w, taps, w_step, y.shape[2], phases, level.shape[1])
    work = 2 * y.size * len(steps) / len(phases) / FLOPS * SHARE
    high = max(phase.count for phase in axes[0])
    pieces = [(s.start, s.stop, 0, high) for s in shares(N, work)]
    if N < 4:  # too few for all threads
        pieces = [(0, N, s.start, s.stop) for s in shares(high, work)]
    tables = phases, _whole_tiles(windows), steps
    pool.run(correlation.correlate, [(x, b, level, piece, plan, *tables, y) for piece in pieces])


def _few(x, y, w, w_step, w_steps, level, axes, apart):
    N, groups, C = x.shape[:3]
    plan = _planned(axes, apart, 1, y.size)
    phases, _, steps, taps = _tables(axes, plan, groups, C, w_steps)
    work = 2 * y.size * len(steps) / len(phases) / FLOPS

    def correlate(s):
        seen = few_filters.bordered(x[s], plan)
        few_filters.correlate_few(seen, w, taps, w_step, level, plan, phases, steps, y[s])

    pool.run(correlate, [(s,) for s in shares(N, work)])


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    gy, x = _alike(gy, x)
    N, C, F, K = len(x), x.shape[1] // groups, gy.shape[1] // groups, math.prod(size)
    gw = np.zeros((F * groups, C, *size), x.dtype)
    if not gy.size or not gw.size:
        return gw
    axes = tuple(map(_forward, gy.shape[2:], size, stride, dilation, padding))
    plan = _planned(axes, (1, 1), N, MOST)
    _, windows, steps, _ = _tables(axes, plan, groups, C, (0, 0, 0))
    steps, width = _whole_tiles(steps), _whole_vectors(F, x.dtype)
    x, gy = x.reshape(N, groups, C, *x.shape[2:]), gy.reshape(N, groups, F, -1)
    work = 2 * gy.size * C * K / FLOPS * SHARE
    cuts = spans(N, work)
    if len(cuts) * gw.size <= x.size + gy.size:
        parts = np.zeros((len(cuts), groups, len(steps), width), x.dtype)
        pieces = [((s.start, s.stop, 0, width), part) for s, part in zip(cuts, parts)]
    else:  # so many sums of their own would take much memory: pieces are panels of filters
        panel = tiles.WIDEST * tiles.VECTOR // x.itemsize
        parts = np.zeros((1, groups, len(steps), width), x.dtype)
        cuts = spans(-(-width // panel), work)
        pieces = [((0, N, s.start * panel, s.stop * panel), parts[0]) for s in cuts]
    pieces = [(x, gy, piece, plan, windows, steps, part) for piece, part in pieces]
    pool.run(correlation.correlate_weight, pieces)
    total = parts.sum(0) if len(parts) > 1 else parts[0]
    correlation.put_weight(total, gw.reshape(groups, F, C * K))
    return gw


def _alike(*arrays):
    """The arrays in their common dtype, each in C order."""
    dtype = np.result_type(*(x.dtype for x in arrays if x is not None))
    return [x if x is None else np.ascontiguousarray(x, dtype) for x in arrays]


def _whole_vectors(count, dtype):
    """count, or so many more as whole vectors have."""
    lanes = tiles.VECTOR // dtype.itemsize
    return -(-count // lanes) * lanes


def _whole_tiles(table):
    """table with zeros at its end, for the rows that the last tile has too many."""
    return np.concatenate([table, np.zeros(-len(table) % tiles.ROWS, table.dtype)])
