"""Correlations of padded images with filters, as products of the tiles of `tiles.py`.

An image's values under all windows form the left factor of a matrix product (windows x filter
elements). It is never stored: a block of images is copied with its border of zeros into
`patches`, and the value for a window and an element is
patches[window_starts[window] + input_offsets[element]], which a tile reads through these tables.
"""

from typing import NamedTuple

import numpy as np

from minigen.kernels.cpu.compiling import U, compiled
from minigen.kernels.cpu.packing import copy_values, transpose
from minigen.kernels.cpu.tiles import (
    TILE_ROWS,
    VECTOR_BYTES,
    Columns,
    GatheredMatrix,
    Panels,
    add_product,
    aligned_zeros,
    panel_width,
    pointer_to,
)

BLOCKS_PER_SUM = 32  # blocks of windows whose products are added in the dtype of the images


class Block(NamedTuple):
    """How many outputs of a phase are computed at a time, and the patch of input they read."""

    images: int
    rows: int  # of outputs
    columns: int
    input_top: int  # row and column of the image where a patch begins; negative in the padding
    input_left: int
    row_stride: int  # input rows and columns from what one output reads to the next
    column_stride: int
    patch_height: int  # rows and columns of the input that the block reads
    patch_width: int
    output_stride: tuple[int, int]  # rows and columns of y between two outputs of a phase


class IndexTables(NamedTuple):
    """Indices of the windows and of the filter elements of a block, int64.

    phases (P, 4): for each output phase its first row and column in y, and where its elements
    begin and end in input_offsets and filter_offsets. An element is one value of a filter: its
    channel, row and column. window_starts[t]: where window t begins in the patches.
    input_offsets[k]: where the value under element k is, from the beginning of a window.
    filter_offsets[k]: where the value of element k is, from the beginning of a filter.
    Zeros pad window_starts and input_offsets to whole tiles of rows.
    """

    phases: np.ndarray
    window_starts: np.ndarray
    input_offsets: np.ndarray
    filter_offsets: np.ndarray


class RowTask(NamedTuple):
    """What one call of `correlate` computes: output rows first_row to last_row of some images."""

    first_image: int
    last_image: int
    first_row: int  # of each phase
    last_row: int


class FilterTask(NamedTuple):
    """What one call of `correlate_weight` adds: the windows of some images to some filters."""

    first_image: int
    last_image: int
    first_filter: int
    last_filter: int


class Strip(NamedTuple):
    """The outputs that one block computes: `rows` rows from first_row on, of `images` images."""

    first_image: int
    images: int
    first_row: int
    rows: int


@compiled
def _copy_strided(n, x, x_start, x_stride, y, y_start, y_stride):
    """y[y_start + i * y_stride] = x[x_start + i * x_stride] for i < n (copy of BLAS)."""
    source, x_step, target, y_step = U(x_start), U(x_stride), U(y_start), U(y_stride)
    for i in range(U(n)):
        y[target + i * y_step] = x[source + i * x_step]


@compiled
def _gather_transposed(x, x_start, offsets, stride, columns, y, y_start, width):
    """y[y_start + m * width + j] = x[x_start + offsets[m] + j * stride] for all m, j < columns.

    With either loop outermost, reads or writes would touch a new cache line for each value. For
    eight j at a time, eight lines of x stay in the cache, eight values of y are contiguous, and
    the inner loop is unrolled.
    """
    for j in range(0, columns - 7, 8):
        for m in range(len(offsets)):
            x_first = x_start + offsets[m] + j * stride
            _copy_strided(8, x, x_first, stride, y, y_start + m * width + j, 1)
    for j in range(columns // 8 * 8, columns):
        for m in range(len(offsets)):
            y[U(y_start + m * width + j)] = x[U(x_start + offsets[m] + j * stride)]


@compiled
def _copy_padded(x, strip, block, patches):
    """Copy the part of images x (N, G, C, H, W) that the outputs of strip read into patches.

    patches (images, G, C, patch_height, patch_width), flat, are zero outside the images. The
    columns outside are not written: the caller has created patches as zeros.
    """
    flat = x.reshape(-1)
    _, groups, channels, height, width = x.shape
    begin = min(max(-block.input_left, 0), block.patch_width)
    end = max(min(block.patch_width, width - block.input_left), begin)
    top = block.input_top + strip.first_row * block.row_stride
    rows = block.patch_height - (block.rows - strip.rows) * block.row_stride
    for k in range(strip.images * groups * channels):
        plane = strip.first_image * groups * channels + k
        source = (plane * height + top) * width + block.input_left + begin
        for t in range(rows):
            target = (k * block.patch_height + t) * block.patch_width + begin
            if 0 <= top + t < height:
                copy_values(flat, source + t * width, patches, target, end - begin)
            else:
                patches[target : target + end - begin] = 0


@compiled
def pack_filters(w, filter_stride, filters, tables, width):
    """The right factor of `correlate`: filters of w (G, values) in panels, phase by phase.

    Element k of filter f is w[g, filter_offsets[k] + f * filter_stride]. The matrix of a phase is
    (elements, width); width is the number of filters, rounded up to whole vectors.
    """
    depth, lanes, flat = len(tables.filter_offsets), VECTOR_BYTES // w.itemsize, w.reshape(-1)
    packed = aligned_zeros(len(w) * depth * width, w)
    for g in range(len(w)):
        for _, _, begin, end in tables.phases:
            offsets = tables.filter_offsets[begin:end]
            target, left = (g * depth + begin) * width, 0
            while left < width:
                panel = panel_width((width - left) // lanes) * lanes
                source, columns = g * w.shape[1] + left * filter_stride, min(panel, filters - left)
                _gather_transposed(
                    flat, source, offsets, filter_stride, columns, packed, target, panel
                )
                target += (end - begin) * panel
                left += panel
    return packed


@compiled
def _store_outputs(sums, sums_start, width, strip, phase, block, image, y):
    """Copy the sums (windows, width) of one image and phase to their rows and columns of y.

    y (N, G, F, OH, OW); image is the index of its first plane, (n * G + g) * F.
    """
    filters, height, y_width = y.shape[2:]
    flat, (top, left), (down, right) = y.reshape(-1), phase[:2], block.output_stride
    rows = min(strip.rows, (height - top - 1) // down + 1 - strip.first_row)
    columns, plane = (y_width - left - 1) // right + 1, height * y_width
    target = (image * height + top + strip.first_row * down) * y_width + left
    if down * right == 1:
        transpose(sums, sums_start, width, rows * columns, filters, flat, target, plane)
        return
    for f in range(filters):
        for t in range(rows):
            source = sums_start + t * block.columns * width + f
            row = target + f * plane + t * down * y_width
            _copy_strided(columns, sums, source, width, flat, row, right)


@compiled
def correlate(x, packed, bias, task, block, tables, y):
    """y[n, g, f] = bias[g, f] + sum over k of w[g, f, k] * the value of x under element k.

    x (N, G, C, H, W), packed from `pack_filters`, bias (G, F padded to whole vectors),
    y (N, G, F, OH, OW), of which the task's images and rows (of each phase) are written.
    """
    groups, channels = x.shape[1:3]
    filters, depth, width = y.shape[2], len(tables.filter_offsets), bias.shape[1]
    group_size = channels * block.patch_height * block.patch_width
    patches = np.zeros(block.images * groups * group_size, x.dtype)
    flat_bias, sums = bias.reshape(-1), np.empty(len(tables.window_starts) * width, x.dtype)
    for n in range(task.first_image, task.last_image, block.images):
        images = min(block.images, task.last_image - n)
        for u in range(task.first_row, task.last_row, block.rows):
            strip = Strip(n, images, u, min(block.rows, task.last_row - u))
            _copy_padded(x, strip, block, patches)
            windows = strip.rows * block.columns  # of an image
            padded_windows = -(-images * windows // TILE_ROWS) * TILE_ROWS
            starts = tables.window_starts[:padded_windows]
            for g in range(groups):
                a, bias_pointer = patches[g * group_size :], pointer_to(flat_bias, g * width)
                for phase in tables.phases:
                    begin, end = phase[2:]
                    offsets, b_start = tables.input_offsets[begin:end], (g * depth + begin) * width
                    add_product(
                        GatheredMatrix(a, starts, offsets),
                        Panels(packed, b_start),
                        Columns(sums, width, 0, width),
                        bias_pointer,
                    )
                    for i in range(images):
                        first, image = i * windows * width, ((n + i) * groups + g) * filters
                        _store_outputs(sums, first, width, strip, phase, block, image, y)


@compiled
def _pack_cotangent(gy, strip, block, g, first_filter, last_filter, packed):
    """Pack the outputs of strip in group g of gy (N, G, F, windows), transposed, into panels.

    The packed matrix has a row for each window of each image and a column for each filter.
    """
    groups, filters, windows = gy.shape[1:]
    flat, lanes = gy.reshape(-1), VECTOR_BYTES // gy.itemsize
    strip_windows = strip.rows * block.columns  # of an image
    target, left = 0, first_filter
    while left < last_filter:
        panel = panel_width((last_filter - left) // lanes) * lanes
        rows = min(panel, filters - left)
        for n in range(strip.first_image, strip.first_image + strip.images):
            plane = (n * groups + g) * filters + left
            source = plane * windows + strip.first_row * block.columns
            transpose(flat, source, windows, rows, strip_windows, packed, target, panel)
            target += strip_windows * panel
        left += panel


@compiled
def _move_sums(sums, total, first, last):
    """Add columns first to last of sums to those of total (float64), and set them to 0."""
    flat_sums, flat_total, width = sums.reshape(-1), total.reshape(-1), sums.shape[-1]
    for row in range(0, flat_sums.size, width):
        for j in range(U(row + first), U(row + last)):
            flat_total[j] += flat_sums[j]
            flat_sums[j] = 0


@compiled
def correlate_weight(x, gy, task, block, tables, gw, total):
    """total[g, k, f] += sum over windows of gy[n, g, f, window] * the value of x under element k.

    x (N, G, C, H, W), gy (N, G, F, windows), total (G, K padded to tiles, F padded to vectors),
    float64. gw, zeros of that shape and the dtype of x, is a buffer: sums of BLOCKS_PER_SUM blocks.
    Only the images and filters of the task take part.
    """
    groups, channels = x.shape[1:3]
    depth, width = gw.shape[1:]
    group_size = channels * block.patch_height * block.patch_width
    patches, flat_gw = np.zeros(block.images * groups * group_size, x.dtype), gw.reshape(-1)
    first_filter, last_filter = task.first_filter, min(width, task.last_filter)
    columns = last_filter - first_filter
    packed = aligned_zeros(len(tables.window_starts) * columns, x)
    output_rows, blocks = gy.shape[3] // block.columns, 0
    for n in range(task.first_image, task.last_image, block.images):
        images = min(block.images, task.last_image - n)
        for u in range(0, output_rows, block.rows):
            strip = Strip(n, images, u, min(block.rows, output_rows - u))
            _copy_padded(x, strip, block, patches)
            starts = tables.window_starts[: images * strip.rows * block.columns]
            for g in range(groups):
                _pack_cotangent(gy, strip, block, g, first_filter, last_filter, packed)
                a, c = patches[g * group_size :], flat_gw[g * depth * width :]
                add_product(
                    GatheredMatrix(a, tables.input_offsets, starts),  # a row for each element
                    Panels(packed, 0),
                    Columns(c, width, first_filter, columns),
                    0,
                )
            blocks += 1
            if blocks % BLOCKS_PER_SUM == 0:
                _move_sums(gw, total, first_filter, last_filter)
    _move_sums(gw, total, first_filter, last_filter)


@compiled
def unpack_weight(total, gw):
    """gw[g, f, k] = total[g, k, f]; total (G, K padded, F padded), gw (G, F, K)."""
    (_, depth, width), (groups, filters, k) = total.shape, gw.shape
    x, y = total.reshape(-1), gw.reshape(-1)
    for g in range(groups):
        source, target = g * depth * width, g * filters * k
        _gather_transposed(x, source, np.arange(filters), width, k, y, target, k)
