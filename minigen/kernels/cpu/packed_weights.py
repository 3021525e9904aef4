"""Products of each step's states with the weights, which are laid for the tiles once for all steps.

BLAS would lay them out again at every step, which for 32 sequences takes as long as the product.
"""

import numpy as np

from minigen.backend.dtypes import FLOATS
from minigen.kernels.cpu import tiles
from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.packing import pack_panels


class Weights:
    """w (rows, columns) for products from the left, in panels where the tiles can take it."""

    def __init__(self, w):
        self.w, self.panels = w, None
        down, along = (step // w.itemsize for step in w.strides)
        whole = (down, along) in ((w.shape[1], 1), (1, w.shape[0]))
        if whole and w.size and w.dtype in FLOATS and w.shape[1] * w.itemsize % tiles.VECTOR == 0:
            memory = w.reshape(-1) if along == 1 else w.T.reshape(-1)
            self.panels = tiles.aligned(w.size, w)
            pack_panels(memory, 0, down, along, *w.shape, self.panels, 0)

    def product(self, count, dtype):
        """A function that gives h @ w for h (count, rows), in an array that it uses again."""
        if self.panels is None or dtype != self.w.dtype:
            out = np.empty((count, self.w.shape[1]), np.result_type(dtype, self.w.dtype))
            return lambda h: np.dot(h, self.w, out=out)
        length, columns = self.w.shape
        places, steps = places_of(count, length), np.arange(length)
        space = np.empty((len(places), columns), dtype)
        out, panels = space[:count], self.panels

        def product(h):
            multiply(np.ascontiguousarray(h).reshape(-1), places, steps, panels, space)
            return out

        return product


def places_of(count, length):
    """Where each of so many rows begins, and zeros for what the last tile has too many."""
    return np.concatenate([np.arange(count) * length, np.zeros(-count % tiles.ROWS, int)])


@compiled
def multiply(h, places, steps, panels, out):
    """out[m] = the row of h that begins at places[m], times the weights in panels."""
    out[:] = 0
    columns = out.shape[1]
    tiles.add_product(h, places, steps, panels, 0, out.reshape(-1), columns, 0, columns, 0)
