"""The notebook representation of a tensor: a small heat map in SVG with a caption."""

from html import escape

import numpy as np

MAX_CELLS = 32  # along an axis; a cell of a longer axis is the mean of neighbouring values
SHADES = 15  # of blue, and as many of red
NAN, INFINITE = "#ffc800", "#000000"  # amber and black; finite values are blue, white or red


def as_html(x: np.ndarray, facts: str) -> str:
    """An HTML element with a heat map of x and a caption: facts, and the range of the values.

    Of an array with more than two axes the first matrix is drawn. A matrix of more than 32 rows or
    columns is averaged.
    """
    caption = [facts, _range(x)]
    if x.ndim and x.size:
        matrix = x[(0,) * max(x.ndim - 2, 0)]
        matrix = matrix.reshape(-1, matrix.shape[-1])  # a vector is one row
        if x.ndim > 2:
            caption.append(f"drawn: the first of {x.size // matrix.size} matrices")
        if max(matrix.shape) > MAX_CELLS:
            caption.append("drawn: means of neighbours")
        caption.append("blue is negative, red positive")
    text = "<br>".join(escape(part) for part in caption)
    drawing = _drawing(matrix) if x.ndim and x.size else ""
    return f"<div>{drawing}<div><small>{text}</small></div></div>"


def _range(x):
    """The range of the finite values of x in words, and the numbers of NaN and infinite ones."""
    if not x.size:
        return "no values"
    if not x.ndim:
        return f"value {x.item()}"
    if x.dtype.kind != "f":
        return f"from {x.min()} to {x.max()}"
    finite = x[np.isfinite(x)]
    nan, infinite = np.isnan(x).sum(), np.isinf(x).sum()
    text = f"from {finite.min():.5g} to {finite.max():.5g}" if finite.size else "no finite values"
    text += f", {nan} NaN (amber)" if nan else ""
    return text + (f", {infinite} infinite (black)" if infinite else "")


def _drawing(matrix):
    """The matrix in SVG: one path for all cells of a colour."""
    x = matrix.astype(np.float64)
    scale = np.abs(x).max(initial=0, where=np.isfinite(x)) or 1.0
    cells = _averaged(_averaged(x / scale, 0), 1)
    paths: dict[str, str] = {}
    for (i, j), value in np.ndenumerate(cells):
        colour = _colour(value)
        paths[colour] = paths.get(colour, "") + f"M{j} {i}h1v1h-1z"
    rows, columns = cells.shape
    side = max(6, min(20, 240 // max(rows, columns)))  # pixels of a cell
    drawn = "".join(f'<path fill="{colour}" d="{path}"/>' for colour, path in paths.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * side}" height="{rows * side}" '
        f'viewBox="0 0 {columns} {rows}" shape-rendering="crispEdges" '
        f'style="border: 1px solid #888">{drawn}</svg>'
    )


def _averaged(x, axis):
    """x with at most MAX_CELLS values along axis, the means of neighbours."""
    length = x.shape[axis]
    if length <= MAX_CELLS:
        return x
    edges = np.arange(MAX_CELLS + 1) * length // MAX_CELLS
    with np.errstate(invalid="ignore"):  # inf - inf is drawn as NaN
        sums = np.add.reduceat(x, edges[:-1], axis)
    return sums / np.expand_dims(np.diff(edges), 1 - axis)


def _colour(value):
    """The colour of a value in [-1, 1]: blue below zero, white at zero, red above."""
    if not np.isfinite(value):
        return NAN if np.isnan(value) else INFINITE
    other = 255 - round(abs(value) * SHADES) * 210 // SHADES  # the other two channels
    return f"#{other:02x}{other:02x}ff" if value < 0 else f"#ff{other:02x}{other:02x}"
