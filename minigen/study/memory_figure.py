"""The figure of a run's memory: bytes alive at each step, stacked by category."""

import os
from collections.abc import Mapping, Sequence

from minigen.figures.canvas import Picture, blank_figure, literal, written
from minigen.study.lifetimes import CATEGORIES
from minigen.study.steps import Pass

COLORS = dict(  # of Okabe and Ito (2008), which all readers can tell apart, and two greys
    zip(
        CATEGORIES,
        ("#999999", "#d0d0d0", "#d55e00", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7"),
    )
)
SMALL = 0.002  # of the peak: a category that is never larger cannot be seen


def draw(
    path: str | os.PathLike,
    bytes_by_category: Mapping[str, list],
    passes: Sequence[Pass],
    title: str,
) -> Picture:
    """Write the stacked bytes at each step; backward passes are shaded, the peak is named."""
    names = [name for name, row in bytes_by_category.items() if any(row)]
    rows = [[size / 1e6 for size in bytes_by_category[name]] for name in names]
    total = [sum(sizes) for sizes in zip(*rows)] or [0.0]
    n, top = len(total) - 1, max(total) or 1.0
    figure = blank_figure(8.6, 4.2)
    axes = figure.subplots()
    if rows:
        # Entry k is drawn as a column from k - 1/2 to k + 1/2.
        edges = [k - 0.5 for k in range(n + 2)]
        rows = [[*row, row[-1]] for row in rows]
        colors = [COLORS[name] for name in names]
        shown = [max(row) > SMALL * top for row in rows]
        labels = [CATEGORIES[name] if x else "_" for name, x in zip(names, shown)]
        axes.stackplot(edges, rows, labels=labels, colors=colors, step="post", linewidth=0)
    _mark_regions(axes, passes, n, top)
    peak = total.index(max(total))
    right = peak > n / 2
    axes.plot([peak], [total[peak]], "v", color="black", markersize=6)
    axes.annotate(
        literal(title),
        (peak, total[peak]),
        xytext=(-6 if right else 6, 9),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=10,
    )
    axes.set_xlim(-0.5, n + 0.5)
    axes.set_ylim(0, 1.24 * top)
    axes.set_xlabel("step")
    axes.set_ylabel("MB alive")
    axes.spines[["top", "right"]].set_visible(False)
    handles, texts = axes.get_legend_handles_labels()
    if texts:
        figure.legend(
            handles, texts, loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
    return written(figure, path)


def _mark_regions(axes, passes, n, top):
    """Shade backward passes, and write what the regions are above them."""
    edge = 0
    for one in (*passes, None):
        first, last = (n, n) if one is None else (one.first, n if one.last is None else one.last)
        regions = [("forward", edge, first), ("backward", first, last)]
        for name, start, stop in regions:
            if stop - start > 0.08 * n:  # a narrower one has no room for its name
                axes.text(
                    (start + stop - 1) / 2, 1.17 * top, name, ha="center", color="0.35", fontsize=10
                )
        if last > first:
            axes.axvspan(first - 0.5, last - 0.5, color="0.5", alpha=0.12, linewidth=0, zorder=0)
        edge = last
