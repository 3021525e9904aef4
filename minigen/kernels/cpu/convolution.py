"""The three products of convolution, reduced to sums over filter elements.

`correlation.py` computes the sums in register tiles (implicit matrix products in the manner of
cuDNN: Chetlur et al. 2014; the tiles are those of Goto and van de Geijn 2008). `few_filters.py`
computes them for few filters. The columns of `reference.convolve` are never stored: tables of
indices say where each filter element finds its input.

In `convolve`, output t along an axis reads input t * stride + i * dilation - padding for filter
element i. The gradient of the images is a correlation of the same form, with the cotangent of y
as its input. But with stride > 1 its neighbouring outputs h and h + 1 use different filter
elements: those with (h + padding - i * dilation) % stride == 0. Outputs that are `stride` apart
use the same elements and form a phase: there are `stride` phases along an axis, and one in
`convolve`.
"""

import math
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

import numpy as np

from minigen.kernels.cpu import correlation, few_filters, tiles
from minigen.kernels.cpu.correlation import Block, FilterTask, IndexTables, RowTask
from minigen.kernels.reference.windows import window_counts
from minigen.parallel import pool
from minigen.parallel.pieces import shares, spans

FLOPS_PER_NS = 60  # about, on one core
# Factor on the estimated time when it is cut into tasks. Each task copies its own padded images,
# so there are fewer and larger tasks than the arithmetic alone would be worth.
TASK_DISCOUNT = 1 / 3
# Outputs of a block: they, their padded input and a panel of filters fit the second-level cache.
OUTPUTS_PER_BLOCK = 256
MAX_FEW_FILTERS = 3  # per group; more filters fill enough lanes of a vector


class Phase(NamedTuple):
    """Outputs first, first + output_stride, ... along one axis, which use the same elements.

    For its filter element elements[i], output t of the phase reads the input at index
    input_start + t * input_stride + input_offsets[i].
    """

    first: int
    length: int  # number of outputs
    elements: tuple[int, ...]
    input_offsets: tuple[int, ...]
    input_start: int
    input_stride: int


@lru_cache(maxsize=128)
def _forward_phases(outputs, k, stride, dilation, padding):
    """The single phase of an axis of `convolve`, with k filter elements."""
    elements = tuple(range(k))
    offsets = tuple(i * dilation for i in elements)
    return (Phase(0, outputs, elements, offsets, -padding, stride),)


@lru_cache(maxsize=128)
def _transpose_phases(outputs, k, stride, dilation, padding):
    """The phases of an axis of `convolve_transpose`, whose outputs are the image's values.

    Image value h is under element i of window u where u * stride + i * dilation = h + padding.
    """
    phases = []
    for first in range(min(stride, outputs)):
        elements = tuple(i for i in range(k) if (first + padding - i * dilation) % stride == 0)
        windows = tuple((first + padding - i * dilation) // stride for i in elements)
        length = len(range(first, outputs, stride))
        phases.append(Phase(first, length, elements, windows, 0, 1))
    # All phases have one input_start, the smallest input index, and offsets from it.
    start = min((u for phase in phases for u in phase.input_offsets), default=0)
    shifted = [tuple(u - start for u in phase.input_offsets) for phase in phases]
    return tuple(p._replace(input_offsets=o, input_start=start) for p, o in zip(phases, shifted))


class FilterStrides(NamedTuple):
    """Distances in the flat values of one group of filters."""

    filter: int
    channel: int
    row: int
    column: int


@lru_cache(maxsize=64)
def _plan_block(axes, output_stride, images, max_outputs):
    """The Block of about max_outputs outputs, for the phases along H and those along W."""
    lengths = [max(phase.length for phase in axis) for axis in axes]
    reach = [max((o for p in axis for o in p.input_offsets), default=0) for axis in axes]
    vertical, horizontal = (axis[0] for axis in axes)
    rows = max(min(max_outputs // lengths[1], lengths[0]), 1)
    fitting = max_outputs // (rows * lengths[1]) if rows == lengths[0] else 1
    return Block(
        images=max(min(fitting, images), 1),
        rows=rows,
        columns=lengths[1],
        input_top=vertical.input_start,
        input_left=horizontal.input_start,
        row_stride=vertical.input_stride,
        column_stride=horizontal.input_stride,
        patch_height=(rows - 1) * vertical.input_stride + reach[0] + 1,
        patch_width=(lengths[1] - 1) * horizontal.input_stride + reach[1] + 1,
        output_stride=output_stride,
    )


@lru_cache(maxsize=64)
def _index_tables(axes, block, groups, channels, strides):
    """The IndexTables of a block, for images of that many groups and channels per group."""
    patch, c = block.patch_height * block.patch_width, np.arange(channels)
    image, row, column = (np.arange(n) for n in (block.images, block.rows, block.columns))
    window_starts = _outer_sum(
        image * groups * channels * patch,
        row * block.row_stride * block.patch_width,
        column * block.column_stride,
    )
    phases, input_offsets, filter_offsets, end = [], [], [], 0
    for vertical in axes[0]:
        for horizontal in axes[1]:
            rows = np.array(vertical.input_offsets, int)
            columns = np.array(horizontal.input_offsets, int)
            i, j = np.array(vertical.elements, int), np.array(horizontal.elements, int)
            input_offsets.append(_outer_sum(c * patch, rows * block.patch_width, columns))
            filter_offsets.append(
                _outer_sum(c * strides.channel, i * strides.row, j * strides.column)
            )
            begin, end = end, end + len(input_offsets[-1])
            phases.append((vertical.first, horizontal.first, begin, end))
    return IndexTables(
        phases=np.array(phases),
        window_starts=_pad_to_tiles(window_starts),
        input_offsets=_pad_to_tiles(np.concatenate(input_offsets)),
        filter_offsets=np.concatenate(filter_offsets),
    )


def _outer_sum(a, b, c):
    """a[i] + b[j] + c[k] for all i, j, k, flat in that order."""
    return (a[:, None, None] + b[:, None] + c).reshape(-1)


def convolve(x, w, bias, stride, padding, dilation, groups):
    """`reference.convolve` without columns."""
    x, w, bias = _common_dtype(x, w, bias)
    padded = (n + 2 * p for n, p in zip(x.shape[2:], padding))
    out_size = window_counts(padded, w.shape[2:], stride, dilation)
    y = np.empty((len(x), len(w), *out_size), x.dtype)
    axes = tuple(map(_forward_phases, out_size, w.shape[2:], stride, dilation, padding))
    kh, kw = w.shape[2:]
    strides = FilterStrides(math.prod(w.shape[1:]), kh * kw, kw, 1)
    return _correlate(x, w, strides, bias, axes, (1, 1), groups, y)


def convolve_transpose(gy, w, bias, size, stride, padding, dilation, groups):
    """`reference.convolve_transpose` as a correlation of gy: w's axes F and C change roles."""
    gy, w, bias = _common_dtype(gy, w, bias)
    gx = np.empty((len(gy), w.shape[1] * groups, *size), gy.dtype)
    axes = tuple(map(_transpose_phases, size, w.shape[2:], stride, dilation, padding))
    kh, kw = w.shape[2:]
    strides = FilterStrides(kh * kw, math.prod(w.shape[1:]), kw, 1)
    return _correlate(gy, w, strides, bias, axes, tuple(stride), groups, gx)


def _correlate(x, w, strides, bias, axes, output_stride, groups, y):
    """Write into y the correlation of x (N, G * C, H, W) with filters of those FilterStrides.

    y (N, G * F, OH, OW) has output_stride rows and columns from one output of a phase to the next.
    """
    if not y.size:
        return y
    N, F = len(x), y.shape[1] // groups
    padded_bias = np.zeros((groups, _pad_to_vectors(F, x.dtype)), x.dtype)
    if bias is not None:
        padded_bias[:, :F] = bias.reshape(groups, F)
    correlate = _correlate_in_tiles
    if F <= MAX_FEW_FILTERS and all(p.input_stride == 1 for axis in axes for p in axis):
        correlate = _correlate_few_filters
    images, outputs = (a.reshape(N, groups, -1, *a.shape[2:]) for a in (x, y))
    filters = w.reshape(groups, -1)
    correlate(images, filters, strides, padded_bias, axes, output_stride, outputs)
    return y


def _correlate_in_tiles(x, w, strides, bias, axes, output_stride, y):
    """`_correlate` by `correlation.py`, in tasks of images or, for few images, of rows."""
    N, groups, C = x.shape[:3]
    block = _plan_block(axes, output_stride, N if N >= 4 else 1, OUTPUTS_PER_BLOCK)
    tables = _index_tables(axes, block, groups, C, strides)
    packed = correlation.pack_filters(w, strides.filter, y.shape[2], tables, bias.shape[1])
    nanoseconds = _nanoseconds(y, tables) * TASK_DISCOUNT
    rows = max(phase.length for phase in axes[0])
    tasks = [RowTask(s.start, s.stop, 0, rows) for s in shares(N, nanoseconds)]
    if N < 4:  # too few images to keep every thread busy
        tasks = [RowTask(0, N, s.start, s.stop) for s in shares(rows, nanoseconds)]
    arguments = [(x, packed, bias, task, block, tables, y) for task in tasks]
    pool.run(correlation.correlate, arguments)


def _correlate_few_filters(x, w, strides, bias, axes, output_stride, y):
    """`_correlate` by `few_filters.py`, in tasks of images, each padded as a whole."""
    N, groups, C = x.shape[:3]
    block = _plan_block(axes, output_stride, 1, y.size)
    tables = _index_tables(axes, block, groups, C, strides)

    def correlate(s):
        """The images of slice s."""
        patches = few_filters.padded_patches(x[s], block)
        few_filters.correlate_few(patches, w, strides.filter, bias, block, tables, y[s])

    pool.run(correlate, [(s,) for s in shares(N, _nanoseconds(y, tables))])


def _nanoseconds(y, tables):
    """The estimated time of one core for all outputs, of which each phase has an equal part."""
    multiply_adds = y.size * len(tables.filter_offsets) / len(tables.phases)
    return 2 * multiply_adds / FLOPS_PER_NS


def convolve_weight(gy, x, size, stride, padding, dilation, groups):
    """`reference.convolve_weight`, in tasks of images or of filters."""
    gy, x = _common_dtype(gy, x)
    N, C, F, K = len(x), x.shape[1] // groups, gy.shape[1] // groups, math.prod(size)
    gw = np.zeros((F * groups, C, *size), x.dtype)
    if not gy.size or not gw.size:
        return gw
    axes = tuple(map(_forward_phases, gy.shape[2:], size, stride, dilation, padding))
    block = _plan_block(axes, (1, 1), N, OUTPUTS_PER_BLOCK)
    tables = _index_tables(axes, block, groups, C, FilterStrides(0, 0, 0, 0))
    rows, width = len(tables.input_offsets), _pad_to_vectors(F, x.dtype)
    x, gy = x.reshape(N, groups, C, *x.shape[2:]), gy.reshape(N, groups, F, -1)
    nanoseconds = 2 * gy.size * C * K / FLOPS_PER_NS * TASK_DISCOUNT
    cuts = spans(N, nanoseconds)
    if len(cuts) * gw.size <= x.size + gy.size:  # tasks of images, each with its own sums
        sums, totals = _zeros((len(cuts), groups, rows, width), x.dtype)
        tasks = [FilterTask(s.start, s.stop, 0, width) for s in cuts]
    else:  # sums for each task would take more memory than the data: tasks of filter panels
        panel = tiles.WIDEST * tiles.VECTOR_BYTES // x.itemsize
        sums, totals = _zeros((1, groups, rows, width), x.dtype)
        cuts = spans(-(-width // panel), nanoseconds)
        tasks = [FilterTask(0, N, s.start * panel, s.stop * panel) for s in cuts]
    parts = zip(sums, totals) if len(sums) > 1 else repeat((sums[0], totals[0]))
    arguments = [(x, gy, task, block, tables, *part) for task, part in zip(tasks, parts)]
    pool.run(correlation.correlate_weight, arguments)
    total = (totals.sum(0) if len(totals) > 1 else totals[0]).astype(x.dtype, copy=False)
    correlation.unpack_weight(total, gw.reshape(groups, F, C * K))
    return gw


def _zeros(shape, dtype):
    """Zeros of that dtype, and of float64."""
    return np.zeros(shape, dtype), np.zeros(shape)


def _common_dtype(*arrays):
    """The arrays in the dtype that they promote to, each in C order; None stays None."""
    dtype = np.result_type(*(x.dtype for x in arrays if x is not None))
    return [x if x is None else np.ascontiguousarray(x, dtype) for x in arrays]


def _pad_to_vectors(n, dtype):
    """n, rounded up to whole vectors of that dtype."""
    lanes = tiles.VECTOR_BYTES // dtype.itemsize
    return -(-n // lanes) * lanes


def _pad_to_tiles(table):
    """table with zeros at its end, so that its length is a multiple of a tile's rows."""
    return np.concatenate([table, np.zeros(-len(table) % tiles.TILE_ROWS, table.dtype)])
