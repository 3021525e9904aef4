"""The notebook representation of a graph: a folded drawing of its nodes, from top to bottom."""

from collections.abc import Sequence
from html import escape

ROW, GAP, HEIGHT = 44, 14, 30  # pixels: from row to row, between boxes, of a box
SWEEPS = 6  # passes over the rows that put boxes near their neighbours


def graph_as_html(
    nodes: Sequence[tuple[str, str]], edges: Sequence[tuple[int, int]], left_out: int = 0
) -> str:
    """A folded HTML element that draws a graph; "" for a graph without edges.

    nodes: (name, text below it) of each. edges: (from, to) of nodes, from before to. left_out: the
    number of further nodes, which a caption tells.
    """
    if not edges:
        return ""
    widths = [max(40, 7 * len(name) + 16, 6 * len(below) + 12) for name, below in nodes]
    rows = _rows(len(nodes), edges)
    x = _positions(rows, edges, widths)
    y = {i: ROW * r + HEIGHT / 2 + 2 for r, row in enumerate(rows) for i in row}
    width = max(x[i] + widths[i] / 2 for i in y) + 2
    height = ROW * len(rows)
    drawn = ""
    for a, b in edges:
        top, bottom = y[a] + HEIGHT / 2, y[b] - HEIGHT / 2
        middle = (top + bottom) / 2
        drawn += (
            f'<path d="M{x[a]:.0f} {top:.0f}C{x[a]:.0f} {middle:.0f} {x[b]:.0f} {middle:.0f} '
            f'{x[b]:.0f} {bottom:.0f}" fill="none" stroke="#7a8fa6"/>'
        )
    for i, (name, below) in enumerate(nodes):
        colour = "#eef3f8" if name != "leaf" else "#f6f0e2"
        drawn += (
            f'<rect x="{x[i] - widths[i] / 2:.0f}" y="{y[i] - HEIGHT / 2:.0f}" rx="5" '
            f'width="{widths[i]}" height="{HEIGHT}" fill="{colour}" stroke="#7a8fa6"/>'
            f"{_text(name, x[i], y[i] - 1, 12)}{_text(below, x[i], y[i] + 11, 9)}"
        )
    caption = f"graph of {len(nodes)} nodes"
    caption += f", the last of {len(nodes) + left_out}" if left_out else ""
    return (
        f"<details><summary><small>{caption}</small></summary>"
        '<div style="overflow:auto;max-height:480px">'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'role="img" aria-label="{caption}" font-family="sans-serif" text-anchor="middle">'
        f"{drawn}</svg></div></details>"
    )


def _text(text, x, y, size):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="#222">{escape(text)}</text>'


def _rows(number, edges):
    """The nodes in rows: each below its arguments, leaves right above their use."""
    row = [0] * number
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        row[b] = max(row[b], row[a] + 1)
    first_use: dict[int, int] = {}
    for a, b in edges:
        first_use[a] = min(first_use.get(a, row[b]), row[b])
    computed = {b for _, b in edges}
    for a, use in first_use.items():
        if a not in computed:
            row[a] = use - 1
    rows: list[list[int]] = [[] for _ in range(max(row) + 1)]
    for i, r in enumerate(row):
        rows[r].append(i)
    return rows


def _positions(rows, edges, widths):
    """The x of the middle of each node: boxes near their neighbours, without overlaps."""
    near: dict[int, list[int]] = {i: [] for row in rows for i in row}
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    x = dict.fromkeys(near, 0.0)
    for row in rows:
        _spread(row, x, widths)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            for i in row:
                if near[i]:
                    x[i] = sum(x[j] for j in near[i]) / len(near[i])
            row.sort(key=x.__getitem__)
            _spread(row, x, widths)
    left = min(x[i] - widths[i] / 2 for i in x) - 2
    return {i: x[i] - left for i in x}


def _spread(row, x, widths):
    """Move the boxes of a row apart, from left to right, and back by what they moved on average."""
    wishes = [x[i] for i in row]
    edge = float("-inf")
    for i in row:
        x[i] = max(x[i], edge + widths[i] / 2)
        edge = x[i] + widths[i] / 2 + GAP
    shift = sum(wish - x[i] for i, wish in zip(row, wishes)) / len(row)
    for i in row:
        x[i] += shift
