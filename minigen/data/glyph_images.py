"""Images of digits and capitals: the fonts that come with matplotlib, each character distorted.

Every character of every face is drawn once, at twice the size, on a sheet. An image is then a
look-up in the sheet under a random affine map, which is fast and needs no file and no network.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path

import numpy as np

from minigen.random import Generator

GLYPH_CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FACES = (
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
SIDE = 28  # pixels, of an image
BOX = 20  # pixels, the longer side of an undistorted character; as in MNIST
ZOOM = 2  # pixels of the sheet for one of the image
CELL = SIDE * ZOOM
CHUNK = 120  # images that a thread makes at a time; the result does not depend on it
THREADS = min(os.cpu_count() or 1, 2)  # CHUNK and these bound the memory
CONTRAST = 1.4  # ink is stretched about one half, so that no weight lights up the background

# What is drawn for each image, uniformly between the two.
DISTORTIONS = {
    "rotation": (-0.22, 0.22),  # radians
    "shear": (-0.2, 0.2),  # pixels to the right for each one up
    "height": (0.75, 1.0),  # scale
    "width": (0.7, 1.0),
    "right": (-1.0, 1.0),  # pixels
    "down": (-1.0, 1.0),
    "weight": (-0.15, 0.15),  # more ink or less: thicker or thinner strokes
    "brightness": (0.75, 1.0),  # of the ink
}


def glyphs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n grey images of digits and capitals, uint8 (n, 28, 28), and their classes, int64 (n,).

    White on black and centred, like MNIST. A class is an index in GLYPH_CLASSES; each occurs
    equally often, give or take one. The seed and matplotlib's release decide everything.
    Raises ValueError for an n that is not an integer >= 0.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 0:
        raise ValueError(f"glyphs: n must be an integer >= 0, got {n!r}")
    rng = Generator(seed)
    labels = rng.permutation(n) % len(GLYPH_CLASSES)
    cells = rng.integers(0, len(FACES), n) * len(GLYPH_CLASSES) + labels
    drawn = rng.uniform((n, len(DISTORTIONS)))
    images = np.empty((n, SIDE, SIDE), np.uint8)
    sheet = _sheet()

    def render(start):
        part = slice(start, start + CHUNK)
        images[part] = _render(sheet, cells[part], drawn[part])

    with ThreadPoolExecutor(THREADS) as pool:  # on two cores in half the time of a loop
        for _ in pool.map(render, range(0, n, CHUNK)):
            pass
    return images, labels


def _sheet() -> np.ndarray:
    """Each character of each face, centred in its cell: ink in [0, 1], (cells, CELL, CELL)."""
    import matplotlib
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.ft2font import FT2Font, LoadFlags
    from matplotlib.path import Path as Outline
    from matplotlib.transforms import Affine2D

    columns, rows = len(GLYPH_CLASSES), len(FACES)
    # Outlines, straight to the rasterizer: so the user's matplotlib settings have no say in it.
    renderer = RendererAgg(columns * CELL, rows * CELL, dpi=72)
    pen = renderer.new_gc()
    pen.set_linewidth(0)
    pen.set_snap(False)
    for row, face in enumerate(FACES):
        font = FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")))
        font.set_size(100, 72)  # outlines are rounded at it: another gives other pixels
        for column, character in enumerate(GLYPH_CLASSES):
            font.load_char(ord(character), LoadFlags.NO_HINTING)
            outline = Outline(*font.get_path())
            points = np.concatenate(outline.to_polygons())
            low, high = points.min(0), points.max(0)
            place = Affine2D().translate(*-(low + high) / 2)
            place.scale(BOX * ZOOM / (high - low).max())
            place.translate((column + 0.5) * CELL, (rows - row - 0.5) * CELL)  # y points up
            renderer.draw_path(pen, outline, place, (1.0, 1.0, 1.0))
    ink = np.asarray(renderer.buffer_rgba())[..., 3].astype(np.float32) / 255
    cells = ink.reshape(rows, CELL, columns, CELL).swapaxes(1, 2).reshape(-1, CELL, CELL)
    # Spread over about one pixel of the image, so that one look-up there does not alias.
    for axis in (1, 2):
        cells = (np.roll(cells, 1, axis) + 2 * cells + np.roll(cells, -1, axis)) / 4
    return cells


def _render(sheet: np.ndarray, cells: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Images of cells (n,), distorted as numbers in [0, 1) (n, 8) choose: uint8 (n, 28, 28)."""
    low, high = np.array(list(DISTORTIONS.values()), np.float32).T
    values = (low + (high - low) * drawn).T
    rotation, shear, height, width, right, down, weight, brightness = values
    cos, sin = np.cos(rotation), np.sin(rotation)
    # The map of the character to its image: rotation @ shear @ scale, y pointing down.
    rows = [
        [cos * width, -(sin + cos * shear) * height],
        [sin * width, (cos - sin * shear) * height],
    ]
    forward = np.array(rows).transpose(2, 0, 1)  # (n, 2, 2)
    pixels = np.mgrid[:SIDE, :SIDE].reshape(2, -1)[::-1].astype(np.float32)  # x, y: (2, pixels)
    moved = pixels - (SIDE - 1) / 2 - np.stack([right, down], axis=1)[:, :, None]  # (n, 2, pixels)
    points = np.linalg.inv(forward) @ moved * ZOOM + (CELL - 1) / 2
    ink = _look_up(sheet, cells, points[:, 0], points[:, 1])
    ink = np.clip(CONTRAST * (ink - 0.5) + 0.5 + weight[:, None], 0, 1) * brightness[:, None]
    return np.rint(255 * ink).astype(np.uint8).reshape(-1, SIDE, SIDE)


def _look_up(sheet: np.ndarray, cells: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The sheet's ink at the points x, y (n, pixels) of n cells, interpolated bilinearly."""
    x, y = x.clip(0, CELL - 1.001), y.clip(0, CELL - 1.001)  # outside it is black as at the rim
    left, top = x.astype(np.int64), y.astype(np.int64)
    x, y = x - left, y - top
    corner = (cells[:, None] * CELL + top) * CELL + left
    flat = sheet.reshape(-1)
    upper = flat[corner] * (1 - x) + flat[corner + 1] * x
    lower = flat[corner + CELL] * (1 - x) + flat[corner + CELL + 1] * x
    return upper * (1 - y) + lower * y
