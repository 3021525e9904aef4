"""An array as a small picture for the page: at most 4,000 cells, each of one byte.

A long axis keeps its two edges: the first and the last rows, with a gap between them, so that each
cell is one element of the array. Only images, which say little without their middle, are thinned.
"""

import base64
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

MAX_CELLS = 4_000
# Bytes of a cell: finite values are 3 ... 253 about 128, the others have a mark of their own.
NAN, PLUS_INFINITY, MINUS_INFINITY, ZERO, STEPS = 0, 1, 2, 128, 125
SIDES = {784: (1, 28), 3072: (3, 32)}  # length of a flat image -> (channels, side)
MAX_TILES = 24
MAX_BARS = 240
MAX_SIDE = 68  # rows or columns of a matrix: three pixels each, in which a cross can be seen
MAX_LENGTH = 42  # of a narrow matrix, of which a longer side would make the picture a thread
NARROW_RANGE = 2 / 3  # of the largest magnitude: of a narrower one, 0 is not in the middle
DARKEST_PEAK = 0.25  # of an image in grey: what is darker, as a gradient may be, gets the colours


class Layout(NamedTuple):
    """What of an array is drawn: `tiles` matrices, with `rows` and `columns` of each.

    whole: the (number of matrices, rows, columns) that there are. channels: 3 for images in colour.
    stride: of images, that are thinned.
    """

    kind: str  # "none" (nothing to draw), "bars", "matrix" or "image"
    whole: tuple[int, int, int]
    tiles: int
    rows: int
    columns: int
    channels: int = 1
    stride: int = 1

    @property
    def cells(self) -> int:
        """The number of bytes of the picture."""
        return 0 if self.kind == "none" else self.tiles * self.rows * self.columns * self.channels


@cache
def layout_of(shape: tuple[int, ...], limit: int = MAX_CELLS) -> Layout:
    """What is drawn of an array of that shape with at most `limit` cells."""
    size = math.prod(shape)
    if size <= 1 or limit < 2:
        return Layout("none", (1, 1, 1), 0, 0, 0)
    image = _image_shape(shape)
    if image is not None:
        images, channels, height, width = image
        stride = 1
        while channels * -(-height // stride) * -(-width // stride) > limit:
            stride += 1
        rows, columns = -(-height // stride), -(-width // stride)
        if min(rows, columns) >= 6:
            tiles = min(images, MAX_TILES, limit // (channels * rows * columns))
            whole = images, height, width
            return Layout("image", whole, tiles, rows, columns, channels, stride)
    columns = shape[-1]
    rows = shape[-2] if len(shape) > 1 else 1
    matrices = size // (rows * columns)
    whole = matrices, rows, columns
    if matrices == 1 and min(rows, columns) == 1:
        drawn = min(limit, MAX_BARS)
        return Layout("bars", whole, 1, min(rows, drawn), min(columns, drawn))
    rows, columns = _cut(rows, columns, limit)
    tiles = max(1, min(matrices, MAX_TILES, limit // (rows * columns)))
    return Layout("matrix", whole, tiles, rows, columns)


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """(images, channels, height, width) of a shape that is one of images; None for another."""
    if len(shape) == 4 and shape[1] in (1, 3) and min(shape[2:]) >= 8:
        return shape  # type: ignore
    if len(shape) == 2 and shape[1] in SIDES:
        channels, side = SIDES[shape[1]]
        return shape[0], channels, side, side
    return None


def _cut(rows: int, columns: int, limit: int) -> tuple[int, int]:
    """The numbers of rows and columns that are drawn: as square as it can be."""
    longest = MAX_SIDE if min(rows, columns) > MAX_LENGTH else MAX_LENGTH
    rows, columns = min(rows, longest), min(columns, longest)
    if rows * columns <= limit:
        return rows, columns
    side = int(limit**0.5)
    if rows <= side:
        return rows, limit // rows
    if columns <= side:
        return limit // columns, columns
    return side, side


def edges_kept(length: int, drawn: int) -> np.ndarray:
    """The indices that are drawn of an axis: all, or the first half and the last."""
    if drawn >= length:
        return np.arange(length)
    first = -(-drawn // 2)
    return np.concatenate([np.arange(first), np.arange(length - (drawn - first), length)])


def picture_of(array: np.ndarray, layout: Layout) -> dict[str, Any]:
    """The record of a picture: its layout, the facts of the array, and its cells in base64.

    The deepest colours are those of middle - scale and middle + scale. middle is 0, and scale three
    standard deviations about it at most, unless the values lie far from 0 and close together.
    beyond: how many finite values are outside of that. An array of one value alone has no picture.
    """
    record = facts_of(array)
    deviation = 3 * record.pop("rms", 0.0)
    low, high = record.get("min", 0.0), record.get("max", 0.0)
    if layout.kind == "none" or is_uniform(record, array.size):
        return record
    largest = max(abs(low), abs(high))
    middle, scale = 0.0, min(largest, deviation) or 1.0
    is_image = layout.kind == "image"
    if not np.isfinite(high - low):
        scale = largest or 1.0
    elif (low > 0 or high < 0) and high - low < NARROW_RANGE * largest and not is_image:
        middle, scale = low + (high - low) / 2, (high - low) / 2 or 1.0
    x = array.reshape(-1, layout.channels, *layout.whole[1:])[: layout.tiles]
    if is_image:
        step = slice(None, None, layout.stride)
        x = x[:, :, step, step]
        kind = "colour" if layout.channels == 3 else "grey"
        if low >= 0 and (DARKEST_PEAK <= high <= 1 or high == 255):
            record["palette"], scale = kind, 255.0 if high > 1 else 1.0
        elif layout.channels == 3:
            x = x.mean(1, keepdims=True)
            layout = layout._replace(channels=1)
    else:
        rows = edges_kept(layout.whole[1], layout.rows)
        columns = edges_kept(layout.whole[2], layout.columns)
        x = x[:, :, rows[:, None], columns]
    if scale < largest and not middle:
        record["beyond"] = int(((array > scale) | (array < -scale)).sum())
        record["beyond"] -= record.get("inf", 0)
    record |= {"kind": layout.kind, "whole": layout.whole, "scale": _rounded(scale)}
    record |= {"middle": _rounded(middle)} if middle else {}
    record |= {"drawn": (layout.tiles, layout.rows, layout.columns)}
    cells = quantised(x, scale, middle)
    record["cells"] = base64.b64encode(cells.tobytes()).decode()
    return record


def is_uniform(facts: dict[str, Any], size: int) -> bool:
    """Whether all values of an array with these facts are one number, NaN or one infinity."""
    nan, inf, minus = (facts.get(name, 0) for name in ("nan", "inf", "minus"))
    is_one = size in (nan, inf - minus, minus, size - nan - inf)
    return is_one and facts.get("min") == facts.get("max")


def quantised(x: np.ndarray, scale: float, middle: float = 0.0) -> np.ndarray:
    """x as bytes: ZERO plus (x - middle) / scale * STEPS, clipped; marks for what is not finite."""
    x = np.asarray(x, np.float64)
    finite = np.isfinite(x)
    codes = ZERO + np.rint(np.clip((np.where(finite, x, middle) - middle) / scale, -1, 1) * STEPS)
    codes = codes.astype(np.uint8)
    codes[np.isnan(x)] = NAN
    codes[x == np.inf] = PLUS_INFINITY
    codes[x == -np.inf] = MINUS_INFINITY
    return codes


def facts_of(array: np.ndarray) -> dict[str, Any]:
    """min, mean, max, rms and the share of zeros of finite values; how many others, and where.

    nan, inf, and of the latter minus: numbers of values; at: the index of the first of them.
    """
    if not array.size:
        return {}
    x = (
        array
        if array.dtype.kind in "fiu" and array.dtype.itemsize > 2
        else array.astype(np.float64)
    )
    facts: dict[str, Any] = {}
    finite = np.isfinite(x)
    if not finite.all():
        nan = int(np.isnan(x).sum())
        first = np.unravel_index(int(np.argmin(finite)), x.shape)
        facts |= {"nan": nan, "inf": int(x.size - finite.sum()) - nan, "at": list(map(int, first))}
        facts |= {"minus": minus} if (minus := int((x == -np.inf).sum())) else {}
        x = x[finite]
        if not x.size:
            return facts
    low, high = float(x.min()), float(x.max())
    peak = max(abs(low), abs(high)) or 1.0
    parts = np.divide(x, peak, dtype=np.float64)  # sums of x itself may overflow
    mean, square = float(parts.mean()), float(np.square(parts).mean())
    facts |= {"min": low, "mean": peak * mean, "max": high, "rms": peak * square**0.5}
    facts["zeros"] = round(float((x == 0).mean()), 4)
    return {name: _rounded(v) if isinstance(v, float) else v for name, v in facts.items()}


def _rounded(x: float) -> float:
    """x with six digits."""
    return float(f"{x:.6g}")
