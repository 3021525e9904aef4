"""Curves over epochs, scatter plots, and points with error bars."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigen.figures.canvas import Picture, blank_figure, written


def curves(
    path: str | os.PathLike,
    panels: Sequence[Mapping[str, Sequence[float]]],
    xlabels: Sequence[str] = (),
    ylabels: Sequence[str] = (),
) -> Picture:
    """Write a figure of panels side by side, each a mapping from label to values at 1, 2, ...

    These are epochs, unless xlabels, one for each panel, say something else.
    """
    figure = blank_figure(4.2 * len(panels), 3.2)
    for i, (axes, panel) in enumerate(
        zip(figure.subplots(1, len(panels), squeeze=False)[0], panels)
    ):
        for label, values in panel.items():
            style = "-" if len(values) > 1 else "o"
            axes.plot(range(1, len(values) + 1), values, style, label=label)
        axes.set_xlabel(xlabels[i] if i < len(xlabels) else "epoch")
        axes.set_ylabel(ylabels[i] if i < len(ylabels) else "")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return written(figure, path)


def point_clouds(
    path: str | os.PathLike, clouds: Mapping[str, Any], marks: Any, radius: float
) -> Picture:
    """Write points (N, 2), a panel for each title, with a circle around each of marks (M, 2)."""
    from matplotlib.patches import Circle

    figure = blank_figure(4.2 * len(clouds), 4.5)
    grid = figure.subplots(1, len(clouds), squeeze=False, sharex=True, sharey=True)
    for axes, (title, points) in zip(grid[0], clouds.items()):
        axes.scatter(*np.asarray(points).T, s=1, alpha=0.4, linewidths=0)
        for mark in marks:
            axes.add_patch(Circle(mark, radius, fill=False, color="crimson", linewidth=0.6))
        axes.set_title(title, fontsize=10)
        axes.set_aspect("equal")
        axes.spines[["top", "right"]].set_visible(False)
    return written(figure, path)


def paired_points(
    path: str | os.PathLike,
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    ylabel: str,
    interval: Callable[[Sequence[float]], tuple[float, float]],
) -> Picture:
    """Write a panel for each title, with a column of points for each label.

    A line joins value i of one column to value i of the next. Each column has an error bar beside
    it: interval(values) is its centre and half its length.
    """
    figure = blank_figure(3.4 * len(panels), 3.4)
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (title, columns) in zip(grid[0], panels.items()):
        positions = range(len(columns))
        axes.plot(positions, list(columns.values()), "o-", color="0.6", markersize=4, linewidth=0.8)
        centres, halves = zip(*map(interval, columns.values()))
        bars = [x + (0.12 if x else -0.12) for x in positions]  # beside the points
        axes.errorbar(bars, centres, halves, fmt="D", color="crimson", capsize=4, markersize=5)
        axes.set_xticks(positions, columns)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_title(title, fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0][0].set_ylabel(ylabel)
    return written(figure, path)
