"""Grey and colour images in a grid."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigen.figures.canvas import Picture, blank_figure, literal, written


def image_sheet(path: str | os.PathLike, images: Any, columns: int, gap: int = 2) -> Picture:
    """Write grey images (N, H, W) or colour images (N, H, W, 3), in [0, 1], as a grid.

    columns: images in a row. gap: pixels between images. The whole is drawn at twice its size.
    """
    from matplotlib.image import imsave

    images = np.asarray(images, np.float32)
    n, height, width, *channels = images.shape
    rows = -(-n // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, *channels)
    sheet = np.full(shape, 0.35, np.float32)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        sheet[top : top + height, left : left + width] = image
    path = Path(path).expanduser()
    imsave(path, sheet.repeat(2, 0).repeat(2, 1), cmap="gray", vmin=0, vmax=1)
    return Picture(path)


def captioned_images(
    path: str | os.PathLike,
    images: Any,
    captions: Sequence[str],
    columns: int,
    marked: Sequence[bool] = (),
) -> Picture:
    """Write grey images (N, H, W) in [0, 1] with a caption under each, red where marked[i]."""
    rows = -(-len(images) // columns)
    lines = max((caption.count("\n") for caption in captions), default=0) + 1
    figure = blank_figure(0.8 * columns, rows * (0.85 + 0.15 * lines))
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for i, axes in enumerate(grid):
        axes.set_axis_off()
        if i < len(images):
            axes.imshow(images[i], cmap="gray", vmin=0, vmax=1)
            color = "red" if i < len(marked) and marked[i] else "black"
            axes.text(
                0.5,
                -0.05,
                literal(captions[i]),
                color=color,
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=8,
            )
    return written(figure, path)
