"""A tensor as a notebook shows it: a small heat map in SVG, and what there is to know of it."""

from html import escape

import numpy as np

SIDE = 32  # cells along an axis at most; more values are averaged
LEVELS = 15  # shades on either side of zero
NAN, INFINITE = "#ffc800", "#000000"  # amber and black; finite values are blue, white or red


def as_html(x: np.ndarray, facts: str) -> str:
    """A figure of x with its range; facts go into the caption.

    Of more than two axes the first matrix is drawn, of more than 32 rows or columns the means.
    """
    caption = [facts, _range(x)]
    if x.ndim and x.size:
        matrix = x[(0,) * max(x.ndim - 2, 0)]
        matrix = matrix.reshape(-1, matrix.shape[-1])  # a vector is one row
        if x.ndim > 2:
            caption.append(f"drawn: the first of {x.size // matrix.size} matrices")
        if max(matrix.shape) > SIDE:
            caption.append("drawn: means of neighbours")
        caption.append("blue is negative, red positive")
    said = "<br>".join(escape(part) for part in caption)
    drawing = _drawing(matrix) if x.ndim and x.size else ""
    return f"<div>{drawing}<div><small>{said}</small></div></div>"


def _range(x):
    if not x.size:
        return "no values"
    if not x.ndim:
        return f"value {x.item()}"
    if x.dtype.kind != "f":
        return f"from {x.min()} to {x.max()}"
    finite = x[np.isfinite(x)]
    nan, infinite = np.isnan(x).sum(), np.isinf(x).sum()
    said = f"from {finite.min():.5g} to {finite.max():.5g}" if finite.size else "no finite values"
    said += f", {nan} NaN (amber)" if nan else ""
    return said + (f", {infinite} infinite (black)" if infinite else "")


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
    side = max(6, min(20, 240 // max(rows, columns)))
    drawn = "".join(f'<path fill="{colour}" d="{path}"/>' for colour, path in paths.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * side}" height="{rows * side}" '
        f'viewBox="0 0 {columns} {rows}" shape-rendering="crispEdges" '
        f'style="border: 1px solid #888">{drawn}</svg>'
    )


def _averaged(x, axis):
    """x with at most SIDE values along axis, the means of neighbours."""
    length = x.shape[axis]
    if length <= SIDE:
        return x
    edges = np.arange(SIDE + 1) * length // SIDE
    with np.errstate(invalid="ignore"):  # inf - inf is drawn as NaN
        sums = np.add.reduceat(x, edges[:-1], axis)
    return sums / np.expand_dims(np.diff(edges), 1 - axis)


def _colour(value):
    """The colour of a value in [-1, 1]: blue, white at zero, red."""
    if not np.isfinite(value):
        return NAN if np.isnan(value) else INFINITE
    rest = 255 - round(abs(value) * LEVELS) * 210 // LEVELS
    return f"#{rest:02x}{rest:02x}ff" if value < 0 else f"#ff{rest:02x}{rest:02x}"
