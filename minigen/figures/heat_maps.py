"""The notebook representation of a tensor: coloured numbers, or a small heat map, and a caption."""

from html import escape

import numpy as np

MAX_NUMBERS = 12  # rows and columns of a matrix whose numbers are shown
MAX_CELLS = 32  # along an axis; a cell of a longer axis is the mean of neighbouring values
SHADES = 15  # of blue, and as many of red
NAN, INFINITE = "#ffc800", "#000000"  # amber and black; finite values are blue, white or red


def as_html(x: np.ndarray, facts: str, more: str = "") -> str:
    """An HTML element that shows x, with a caption: facts, the range of the values, and more HTML.

    A matrix of at most 12 x 12 is a table of numbers, a larger one a heat map, averaged if it has
    more than 32 rows or columns. Of an array with more than two axes the first matrix is drawn.
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
    drawing = ""
    if x.ndim and x.size:
        drawing = _numbers(matrix) if max(matrix.shape) <= MAX_NUMBERS else _drawing(matrix)
    return f"<div>{drawing}<div><small>{text}</small></div>{more}</div>"


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


def _scaled(matrix):
    """The matrix in float64, divided by its largest finite magnitude."""
    x = matrix.astype(np.float64)
    return x / (np.abs(x).max(initial=0, where=np.isfinite(x)) or 1.0)


def _numbers(matrix):
    """The matrix as a table: each number with three digits, on its colour."""
    rows = ""
    for numbers, shades in zip(matrix, _scaled(matrix)):
        rows += "<tr>"
        for number, shade in zip(numbers, shades):
            text = f"{number:.3g}" if matrix.dtype.kind == "f" else str(number)
            ink = "white" if abs(shade) > 0.6 else "black"  # black on amber: NaN > 0.6 is False
            style = f"background:{_colour(shade)};color:{ink};text-align:right"
            rows += f'<td style="{style}">{text}</td>'
        rows += "</tr>"
    table = f'<table style="border:1px solid #888;font-size:85%">{rows}</table>'
    return f'<div style="overflow-x:auto">{table}</div>'


def _drawing(matrix):
    """The matrix in SVG: one path for all cells of a colour."""
    cells = _averaged(_averaged(_scaled(matrix), 0), 1)
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
