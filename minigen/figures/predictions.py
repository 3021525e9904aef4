"""What a model predicts against what is true: numbers as points, classes as a table of counts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigen.figures.canvas import Picture, blank_figure, literal, written

NAMED_CLASSES = 40  # beyond, the names of the classes would overlap
COUNTED_CLASSES = 20  # beyond, the counts would


def predicted_against_true(
    path: str | os.PathLike, panels: Mapping[str, tuple[Any, Any]], label: str
) -> Picture:
    """Write predicted over true values, a panel for each title: panels[title] is (true, predicted).

    All panels have the same range; on the diagonal, predictions are right.
    """
    figure = blank_figure(4.2 * len(panels), 4.2)
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    ends = [np.concatenate([np.ravel(x) for pair in panels.values() for x in pair])]
    low, high = np.min(ends), np.max(ends)
    for axes, (title, (true, predicted)) in zip(grid, panels.items()):
        axes.plot([low, high], [low, high], color="0.6", linewidth=0.8)
        axes.scatter(true, predicted, s=6, alpha=0.5, linewidths=0)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(f"true {literal(label)}")
        axes.set_aspect("equal")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylabel(f"predicted {literal(label)}")
    return written(figure, path)


def confusion_matrix(path: str | os.PathLike, counts: Any, names: Sequence[str]) -> Picture:
    """Write counts (classes, classes), true classes in rows, predicted ones in columns.

    The colour is the share of the row. Long names are cut; up to 20 classes have their counts.
    """
    counts = np.asarray(counts)
    n = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(max(0.35 * n, 2.5), 10) + 1.2  # inches
    figure = blank_figure(side, side)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if n <= NAMED_CLASSES:
        short = [literal(name if len(name) <= 18 else f"{name[:17]}…") for name in names]
        axes.set_xticks(range(n), short, rotation=90, fontsize=8)
        axes.set_yticks(range(n), short, fontsize=8)
    for i, j in np.argwhere(counts > 0) if n <= COUNTED_CLASSES else []:
        color = "white" if share[i, j] > 0.5 else "black"
        style = {"ha": "center", "va": "center", "fontsize": 7}
        axes.text(j, i, f"{counts[i, j]:g}", color=color, **style)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    return written(figure, path)
