"""`tiles.compute_tile`, in LLVM instructions, computes what the plain triple loop does."""

import numpy as np
import pytest

pytest.importorskip("numba")
from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.tiles import (
    TILE_ROWS,
    TILE_WIDTHS,
    VECTOR_BYTES,
    TileOfA,
    TileOfC,
    compute_tile,
    pointer_to,
    reference_tile,
)

rng = np.random.default_rng(0)


@compiled
def tile(vectors, rows, values, row_offsets, k_offsets, b, start, end, scratch):
    a = TileOfA(pointer_to(values, 0), pointer_to(row_offsets, 0), pointer_to(k_offsets, 0), 0)
    c = TileOfC(
        pointer_to(start, 0),
        start.shape[1],
        pointer_to(end, 0),
        end.shape[1],
        rows,
        pointer_to(scratch, 0),
    )
    compute_tile(vectors, len(k_offsets), a, pointer_to(b, 0), c, values)


def whole_numbers(shape, dtype):
    """Small ones, so that sums in any order are exact."""
    return rng.integers(-9, 10, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vectors", TILE_WIDTHS)
@pytest.mark.parametrize("depth, rows", [(0, TILE_ROWS), (1, 1), (37, 4), (37, TILE_ROWS)])
def test_a_tile_is_what_the_plain_loop_computes(dtype, vectors, depth, rows):
    columns = vectors * VECTOR_BYTES // np.dtype(dtype).itemsize
    values, b = whole_numbers(500, dtype), whole_numbers((depth, columns), dtype)
    row_offsets, k_offsets = rng.integers(0, 250, TILE_ROWS), rng.integers(0, 250, depth)
    start = whole_numbers((TILE_ROWS, columns), dtype)
    end, scratch = np.full((TILE_ROWS, columns + 3), 99, dtype), np.zeros(columns, dtype)
    tile(vectors, rows, values, row_offsets, k_offsets, b, start, end, scratch)
    expected = reference_tile(start, values, row_offsets, k_offsets, b)
    np.testing.assert_array_equal(end[:rows, :columns], expected[:rows])
    assert (end[rows:] == 99).all() and (end[:, columns:] == 99).all()  # nothing else is written
