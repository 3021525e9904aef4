"""Correlation with fewer filters than a vector has lanes: the lanes are output pixels instead.

In `correlation.py` the lanes of a vector are filters, so one to three filters would leave most
lanes empty. For each filter element, the outputs of an image read a contiguous stretch of the
padded image (its column stride is 1), so they are summed as y += factor * x over whole images.
"""

import numpy as np

from minigen.kernels.cpu.compiling import CONTRACT, compiled


def padded_patches(x, block):
    """What the outputs read of images x (N, G, C, H, W), zero outside: (N, G, values).

    values are C * patch_height * patch_width, where the block has all rows of an image.
    """
    patches = np.zeros((*x.shape[:3], block.patch_height, block.patch_width), x.dtype)
    starts = block.input_top, block.input_left
    spans = zip(starts, (block.patch_height, block.patch_width), x.shape[3:])
    # For each axis: first index in the patch, first index in the image, length of their overlap.
    overlap = [(max(-s, 0), max(s, 0), max(min(s + n, m) - max(s, 0), 0)) for s, n, m in spans]
    in_patch = (slice(first, first + length) for first, _, length in overlap)
    in_image = (slice(first, first + length) for _, first, length in overlap)
    patches[..., *in_patch] = x[..., *in_image]
    return patches.reshape(*x.shape[:2], -1)


@compiled(fastmath=CONTRACT)
def correlate_few(x, w, filter_stride, bias, block, tables, y):
    """y[n, g, f] = bias[g, f] + sum over k of w[g, f, k] * x[n, g, window + input_offsets[k]].

    x (N, G, values) from `padded_patches`, w (G, values), bias (G, F), y (N, G, F, OH, OW).
    Rows of outputs are patch_width apart in the sums. The values between two rows belong to
    windows that cross the end of a row; they are not copied into y.
    """
    filters, height, _ = y.shape[2:]
    down, right = block.output_stride
    sums = np.empty((block.rows - 1) * block.patch_width + block.columns, x.dtype)
    for n in range(len(x)):
        for g in range(x.shape[1]):
            for top, left, begin, end in tables.phases:
                for f in range(filters):
                    sums[:] = bias[g, f]
                    for k in range(begin, end):
                        factor = w[g, tables.filter_offsets[k] + f * filter_stride]
                        start = tables.input_offsets[k]
                        _add_multiple(factor, x[n, g, start : start + len(sums)], sums)
                    for t in range((height - top - 1) // down + 1):
                        row = y[n, g, f, top + t * down, left::right]
                        row_sums = sums[t * block.patch_width :]
                        for v in range(len(row)):
                            row[v] = row_sums[v]


@compiled(fastmath=CONTRACT)
def _add_multiple(factor, x, y):
    """y[i] += factor * x[i] (axpy of BLAS)."""
    for i in range(len(y)):
        y[i] += factor * x[i]
