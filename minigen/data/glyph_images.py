"""Synthetic images of digits and capitals, rendered from the fonts that come with matplotlib.

Every character of every font is drawn once, at twice the size of an image, into a cell of a sheet
(a texture atlas). An image samples its cell under a random affine map, by bilinear interpolation.
This is fast, and needs no file and no network.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path

import numpy as np

from minigen.random import Generator

GLYPH_CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmss10",
    "cmtt10",
)
IMAGE_SIZE = 28  # pixels; height and width of an image
GLYPH_SIZE = 20  # pixels; the longer of height and width of an undistorted character, as in MNIST
SCALE = 2  # pixels of the sheet per pixel of an image, on each axis
CELL_SIZE = IMAGE_SIZE * SCALE
CHUNK = 120  # images that one task renders; the result does not depend on it
THREADS = min(os.cpu_count() or 1, 2)  # working memory is proportional to CHUNK * THREADS
# Ink is scaled by this about 0.5, then clipped to [0, 1]: black maps to -0.2, so that the largest
# offset by "weight", 0.15, leaves the background black.
CONTRAST = 1.4

# The range of each parameter of an image; it is drawn uniformly from the range.
DISTORTIONS = {
    "rotation": (-0.22, 0.22),  # radians
    "shear": (-0.2, 0.2),  # pixels to the right per pixel upwards
    "height": (0.75, 1.0),  # scale factor
    "width": (0.7, 1.0),  # scale factor
    "right": (-1.0, 1.0),  # translation in pixels
    "down": (-1.0, 1.0),  # translation in pixels
    "weight": (-0.15, 0.15),  # added to the ink: thicker or thinner strokes
    "brightness": (0.75, 1.0),  # factor of the ink
}


def glyphs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n grey images of digits and capitals, uint8 (n, 28, 28), and their classes, int64 (n,).

    White on black and centred, like MNIST. A class is an index into GLYPH_CLASSES; the numbers of
    images of two classes differ by at most one. The images depend on n, the seed and the release
    of matplotlib only. Raises ValueError if n is not an integer >= 0.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 0:
        raise ValueError(f"glyphs: n must be an integer >= 0, got {n!r}")
    rng = Generator(seed)
    labels = rng.permutation(n) % len(GLYPH_CLASSES)
    cells = rng.integers(0, len(FONTS), n) * len(GLYPH_CLASSES) + labels
    uniforms = rng.uniform((n, len(DISTORTIONS)))
    images = np.empty((n, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    sheet = _sheet()

    def render(start):
        chunk = slice(start, start + CHUNK)
        images[chunk] = _render(sheet, cells[chunk], uniforms[chunk])

    with ThreadPoolExecutor(THREADS) as pool:  # half the time of a plain loop, on two cores
        for _ in pool.map(render, range(0, n, CHUNK)):
            pass
    return images, labels


def _sheet() -> np.ndarray:
    """Each character of each font, centred in its cell: ink in [0, 1], (cells, size, size)."""
    import matplotlib
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.ft2font import FT2Font, LoadFlags
    from matplotlib.path import Path as Outline
    from matplotlib.transforms import Affine2D

    columns, rows = len(GLYPH_CLASSES), len(FONTS)
    # matplotlib's text functions would be shorter, but depend on the user's settings (hinting,
    # antialiasing, dpi). Filling the outlines with the rasterizer does not.
    renderer = RendererAgg(columns * CELL_SIZE, rows * CELL_SIZE, dpi=72)
    pen = renderer.new_gc()
    pen.set_linewidth(0)
    pen.set_snap(False)
    for row, name in enumerate(FONTS):
        font = FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")))
        font.set_size(100, 72)  # FreeType rounds outlines at this size: others give other pixels
        for column, character in enumerate(GLYPH_CLASSES):
            font.load_char(ord(character), LoadFlags.NO_HINTING)
            outline = Outline(*font.get_path())
            points = np.concatenate(outline.to_polygons())
            low, high = points.min(0), points.max(0)
            transform = Affine2D().translate(*-(low + high) / 2)
            transform.scale(GLYPH_SIZE * SCALE / (high - low).max())
            y = (rows - row - 0.5) * CELL_SIZE  # the renderer's y axis points up
            transform.translate((column + 0.5) * CELL_SIZE, y)
            renderer.draw_path(pen, outline, transform, (1.0, 1.0, 1.0))
    ink = np.asarray(renderer.buffer_rgba())[..., 3].astype(np.float32) / 255
    ink = ink.reshape(rows, CELL_SIZE, columns, CELL_SIZE)
    cells = ink.swapaxes(1, 2).reshape(-1, CELL_SIZE, CELL_SIZE)
    # Low-pass filter over about one pixel of an image, so that sampling one point of the sheet
    # per pixel does not alias.
    for axis in (1, 2):
        cells = (np.roll(cells, 1, axis) + 2 * cells + np.roll(cells, -1, axis)) / 4
    return cells


def _render(sheet: np.ndarray, cells: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Images uint8 (n, 28, 28) of the cells (n,), whose distortions are uniforms (n, 8) in [0, 1).

    `uniforms` is scaled to the ranges of DISTORTIONS.
    """
    low, high = np.array(list(DISTORTIONS.values()), np.float32).T
    values = (low + (high - low) * uniforms).T
    rotation, shear, height, width, right, down, weight, brightness = values
    cos, sin = np.cos(rotation), np.sin(rotation)
    # From character to image: rotation @ shear @ scale, with y pointing down.
    rows = [
        [cos * width, -(sin + cos * shear) * height],
        [sin * width, (cos - sin * shear) * height],
    ]
    forward = np.array(rows).transpose(2, 0, 1)  # (n, 2, 2)
    xy = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE].reshape(2, -1)[::-1].astype(np.float32)  # (2, pixels)
    centred = xy - (IMAGE_SIZE - 1) / 2 - np.stack([right, down], axis=1)[:, :, None]
    # The point of the cell that each pixel shows, (n, 2, pixels).
    points = np.linalg.inv(forward) @ centred * SCALE + (CELL_SIZE - 1) / 2
    ink = _sample(sheet, cells, points[:, 0], points[:, 1])
    ink = np.clip(CONTRAST * (ink - 0.5) + 0.5 + weight[:, None], 0, 1) * brightness[:, None]
    return np.rint(255 * ink).astype(np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)


def _sample(sheet: np.ndarray, cells: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The ink of cells (n,) at the points x, y (n, pixels), by bilinear interpolation."""
    limit = CELL_SIZE - 1.001  # points outside the cell read its border, which is black
    x, y = x.clip(0, limit), y.clip(0, limit)
    left, top = x.astype(np.int64), y.astype(np.int64)
    x, y = x - left, y - top
    corner = (cells[:, None] * CELL_SIZE + top) * CELL_SIZE + left  # index into the flat sheet
    flat = sheet.reshape(-1)
    upper = flat[corner] * (1 - x) + flat[corner + 1] * x
    lower = flat[corner + CELL_SIZE] * (1 - x) + flat[corner + CELL_SIZE + 1] * x
    return upper * (1 - y) + lower * y
