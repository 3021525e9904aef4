"""General matrix products (GEMM) of matrices with any strides, in blocks that fit the caches.

The loop nest is that of Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication,
ACM TOMS 34 (2008):

    for each block of K_BLOCK terms of the sums:            (k_c)
        for each block of M_BLOCK rows of a and c:          (m_c)  pack the block of a
            for each panel of up to four vectors of b:      (n_r)  pack the panel of b, once
                for each tile of TILE_ROWS rows:            (m_r)  the micro-kernel, `tiles.py`

The paper's outer loop, over blocks of N_BLOCK columns (n_c), is the cut of a product into tasks:
see `products.py`. Rows of a that are contiguous are read where they are and not packed.
"""

from typing import NamedTuple

import numpy as np

from minigen.kernels.cpu.compiling import U, compiled
from minigen.kernels.cpu.packing import (
    CACHE_LINE,
    GAP,
    array_at,
    copy_values,
    pack_panels,
    pack_rows,
    submatrix,
)
from minigen.kernels.cpu.tiles import (
    K_BLOCK,
    TILE_ROWS,
    VECTOR_BYTES,
    TileOfA,
    TileOfC,
    compute_tile,
    panel_width,
    pointer_to,
)

# m_c: a block of a, M_BLOCK x K_BLOCK, and a panel of b together fit the second-level cache.
M_BLOCK = 22 * TILE_ROWS
# n_c: the columns of a task, at most. They decide the size of a workspace: its packed panels take
# K_BLOCK * N_BLOCK values.
N_BLOCK = 2048
ALL_GAPS = M_BLOCK // TILE_ROWS * GAP
OFFSETS_BYTES = -(-8 * (M_BLOCK + K_BLOCK) // CACHE_LINE) * CACHE_LINE
WIDEST_TILE = 4 * VECTOR_BYTES  # bytes of a row of the widest tile

# Causality, for products whose rows and columns are time steps: which triangle of a matrix is
# wanted or non-zero. Tiles that are not wanted are skipped, and terms that are 0 in a whole tile.
DENSE = 0  # all of c is wanted, and all of a may be non-zero
C_LOWER_WANTED = 1  # only c[m, n] with n <= m
A_LOWER_NONZERO = 2  # a[m, k] is 0 for k > m
A_UPPER_NONZERO = 3  # a[m, k] is 0 for k < m


class Shape(NamedTuple):
    """The sums have k terms; rows m_start to m_stop and columns n_start to n_stop are computed."""

    k: int
    m_start: int
    m_stop: int
    n_start: int
    n_stop: int


class Layout(NamedTuple):
    """Pointers to the parts of a workspace, aligned so that no vector crosses a cache line."""

    zeros: int  # a row of a tile, for sums that begin without a bias
    edge_tile: int  # takes the place in memory of a tile that is wider than what remains of c
    scratch_row: int  # results of rows beyond the last one are written to it
    row_offsets: int  # M_BLOCK and
    k_offsets: int  # K_BLOCK integers, the tables of `TileOfA`
    block: int  # the packed block of a, if a is packed
    panels: int  # the packed panels of b


def workspace_for(dtype: np.dtype, k: int, columns: int) -> np.ndarray:
    """Memory for `gemm`, for products of that k and number of columns or smaller ones."""
    lanes, depth = VECTOR_BYTES // dtype.itemsize, min(k, K_BLOCK)
    block = M_BLOCK * depth + ALL_GAPS
    tile_rows = (TILE_ROWS + 2) * WIDEST_TILE // dtype.itemsize  # edge tile, zeros, scratch row
    alignment = lanes + CACHE_LINE
    size = depth * (columns + lanes) + block + tile_rows + OFFSETS_BYTES // dtype.itemsize
    return np.empty(size + alignment, dtype)


def with_element_strides(x: np.ndarray) -> np.ndarray:
    """x if its strides are multiples of its itemsize, as `packing.strided` needs; else a copy."""
    size = x.itemsize
    for stride in x.strides:
        if stride % size:
            return x.copy()
    return x


@compiled
def gemm(a, b, c, bias, shape, causality, workspace):
    """c[m, n] = bias[n] + sum over k of a[m, k] * b[k, n], for the rows and columns of shape.

    a, b, c: Strided, c with column stride 1. bias: pointer to the bias, padded to whole vectors;
    0 if there is none. causality: one of the four constants above.
    """
    size = workspace.itemsize
    lanes = VECTOR_BYTES // size
    packs_a = a.column_stride != 1
    layout = _lay_out(workspace, shape, packs_a)
    for k in range(0, shape.k, K_BLOCK):
        depth = min(K_BLOCK, shape.k - k)
        _fill_k_offsets(depth, packs_a, layout)
        for m in range(shape.m_start, shape.m_stop, M_BLOCK):
            rows = min(M_BLOCK, shape.m_stop - m)
            if packs_a:
                pack_rows(submatrix(a, m, k, size), rows, depth, array_at(layout.block, workspace))
            _fill_row_offsets(a, m, rows, k, depth, packs_a, layout)
            n, panel = shape.n_start, layout.panels
            while n < shape.n_stop:
                vectors = panel_width(-(-(shape.n_stop - n) // lanes))
                width = vectors * lanes
                columns = min(width, shape.n_stop - n)
                if m == shape.m_start:  # not before this loop: it is still in the cache when used
                    b_part = submatrix(b, k, n, size)
                    pack_panels(b_part, depth, columns, array_at(panel, workspace), 0)
                for i in range(0, rows, TILE_ROWS):
                    if causality == C_LOWER_WANTED and n >= m + i + TILE_ROWS:
                        continue
                    first, last = _nonzero_terms(causality, m + i, k, depth)
                    if k > 0 and first >= last:  # for k = 0 the bias or zeros are still written
                        continue
                    tile_of_a = _tile_of_a(a, i, first, shape, packs_a, layout)
                    b_rows = panel + first * width * size
                    tile_of_c = _tile_of_c(c, m + i, n, k, rows - i, bias, layout, size)
                    if columns < width:
                        edge = _load_edge_tile(tile_of_c, columns, width, layout, workspace)
                    else:
                        edge = tile_of_c
                    terms = max(last - first, 0)
                    compute_tile(vectors, terms, tile_of_a, b_rows, edge, workspace)
                    if columns < width:
                        _store_edge_tile(edge, tile_of_c, columns, workspace)
                n += width
                if shape.m_stop - shape.m_start > M_BLOCK:  # kept for the next block of rows
                    panel += depth * width * size


@compiled(inline="always")
def _lay_out(workspace, shape, packs_a):
    """The Layout of a workspace, with its zeros written."""
    lanes = VECTOR_BYTES // workspace.itemsize
    zeros = -(-pointer_to(workspace, 0) // CACHE_LINE) * CACHE_LINE
    row = array_at(zeros, workspace)
    for i in range(4 * lanes):
        row[i] = 0
    edge_tile = zeros + WIDEST_TILE
    scratch_row = edge_tile + TILE_ROWS * WIDEST_TILE
    row_offsets = scratch_row + WIDEST_TILE
    block = row_offsets + OFFSETS_BYTES
    block_vectors = -(-(M_BLOCK * min(shape.k, K_BLOCK) + ALL_GAPS) // lanes) if packs_a else 0
    panels = block + block_vectors * VECTOR_BYTES
    k_offsets = row_offsets + 8 * M_BLOCK
    return Layout(zeros, edge_tile, scratch_row, row_offsets, k_offsets, block, panels)


@compiled(inline="always")
def _fill_k_offsets(depth, packs_a, layout):
    """Write the offset of each k within a row of the block of a."""
    offsets = array_at(layout.k_offsets, U)
    for i in range(depth):
        offsets[i] = i * TILE_ROWS if packs_a else i


@compiled(inline="always")
def _fill_row_offsets(a, m, rows, k, depth, packs_a, layout):
    """Write the offset of each row of the block a[m:, k:], in the packed block or else in a.

    The rows that the last tile has beyond the edge repeat its last row, so they can be read.
    """
    offsets = array_at(layout.row_offsets, U)
    for i in range(-(-rows // TILE_ROWS) * TILE_ROWS):
        row = min(i, rows - 1)
        packed = row // TILE_ROWS * (TILE_ROWS * depth + GAP) + row % TILE_ROWS
        offsets[i] = packed if packs_a else (m + row) * a.row_stride + k


@compiled(inline="always")
def _nonzero_terms(causality, m, k, depth):
    """The first of the terms k, ..., k + depth - 1 that a tile at row m needs; one past the last.

    Both are relative to k. If no term is needed, the first is not below the second.
    """
    first = max(m - k, 0) if causality == A_UPPER_NONZERO else 0
    last = min(m + TILE_ROWS - k, depth) if causality == A_LOWER_NONZERO else depth
    return first, last


@compiled(inline="always")
def _tile_of_a(a, i, first, shape, packs_a, layout):
    """The TileOfA of row i of the block on, from term `first` on."""
    values = layout.block if packs_a else a.pointer
    # The prefetch takes memory in order. So it fetches the next tile only if its rows follow each
    # other without gaps: if the block is as wide as the matrix.
    is_contiguous = not packs_a and a.row_stride <= min(shape.k, K_BLOCK)
    next_tile = TILE_ROWS * a.row_stride if is_contiguous else 0
    return TileOfA(values, layout.row_offsets + 8 * i, layout.k_offsets + 8 * first, next_tile)


@compiled(inline="always")
def _tile_of_c(c, m, n, k, rows, bias, layout, size):
    """The TileOfC at row m and column n: sums begin with the bias or zeros for k = 0, else c."""
    end = c.pointer + (m * c.row_stride + n) * size
    start, start_stride = end, c.row_stride
    if k == 0:
        start, start_stride = bias + n * size if bias else layout.zeros, 0
    rows = min(TILE_ROWS, rows)
    return TileOfC(start, start_stride, end, c.row_stride, rows, layout.scratch_row)


@compiled(inline="always")
def _load_edge_tile(tile, columns, width, layout, workspace):
    """A TileOfC in the workspace, with the initial sums of a tile that only has some columns."""
    sums, edge_tile = array_at(tile.start, workspace), array_at(layout.edge_tile, workspace)
    for i in range(tile.rows):
        copy_values(sums, i * tile.start_stride, edge_tile, i * width, columns)
    edge = layout.edge_tile
    return TileOfC(edge, width, edge, width, tile.rows, tile.scratch_row)


@compiled(inline="always")
def _store_edge_tile(edge, tile, columns, workspace):
    """Copy the columns that a tile of c has from the edge tile in the workspace."""
    sums, results = array_at(edge.end, workspace), array_at(tile.end, workspace)
    for i in range(tile.rows):
        copy_values(sums, i * edge.end_stride, results, i * tile.end_stride, columns)
