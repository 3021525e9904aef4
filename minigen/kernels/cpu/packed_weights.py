"""Products of the states of each step with weights that are packed once for all steps.

BLAS would pack the weights again at every step, which for 32 sequences takes as long as the
product itself. (Packing: Goto and van de Geijn 2008, see `tiles.py`.)
"""

import numpy as np

from minigen.backend.dtypes import FLOATS
from minigen.kernels.cpu import tiles
from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.packing import Strided, pack_panels, strided


class PackedWeights:
    """w (K, N) as the right factor of products: in panels, or unpacked if tiles cannot take it.

    `panels` is None if w is not contiguous (in C or Fortran order), is empty or no float array, or
    if its rows are not whole vectors.
    """

    def __init__(self, w):
        self.w, self.panels = w, None
        row_stride, column_stride = (step // w.itemsize for step in w.strides)
        contiguous = (row_stride, column_stride) in ((w.shape[1], 1), (1, w.shape[0]))
        whole_vectors = w.shape[1] * w.itemsize % tiles.VECTOR_BYTES == 0
        if contiguous and w.size and w.dtype in FLOATS and whole_vectors:
            in_c_order = column_stride == 1
            matrix = np.ascontiguousarray(w) if in_c_order else np.ascontiguousarray(w.T).T
            self.panels = tiles.aligned_zeros(w.size, w)
            pack_panels(Strided(*strided(matrix)), *w.shape, self.panels, 0)

    def product(self, rows, dtype):
        """A function that computes h @ w, (rows, K) (K, N), and writes into one buffer (rows, N).

        Each call overwrites the result of the call before.
        """
        if self.panels is None or dtype != self.w.dtype:
            out = np.empty((rows, self.w.shape[1]), np.result_type(dtype, self.w.dtype))
            return lambda h: np.dot(h, self.w, out=out)
        depth, columns = self.w.shape
        row_offsets, k_offsets = padded_row_offsets(rows, depth), np.arange(depth)
        padded_out = np.empty((len(row_offsets), columns), dtype)
        out, panels = padded_out[:rows], self.panels

        def product(h):
            """h @ w in `out`."""
            flat_h = np.ascontiguousarray(h).reshape(-1)
            multiply_packed(flat_h, row_offsets, k_offsets, panels, padded_out)
            return out

        return product


def padded_row_offsets(rows, length):
    """Where each row of a flat matrix (rows, length) begins; zeros pad them to whole tiles."""
    return np.concatenate([np.arange(rows) * length, np.zeros(-rows % tiles.TILE_ROWS, int)])


@compiled
def multiply_packed(h, row_offsets, k_offsets, panels, out):
    """out = h @ w: row m of h (flat) begins at row_offsets[m], and w (K, N) is packed in panels.

    out (M, N), M a multiple of a tile's rows; the rows that pad it repeat row 0 and are not used.
    """
    out[:] = 0
    columns = out.shape[1]
    a, b = tiles.GatheredMatrix(h, row_offsets, k_offsets), tiles.Panels(panels, 0)
    tiles.add_product(a, b, tiles.Columns(out.reshape(-1), columns, 0, columns), 0)
