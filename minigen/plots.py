"""Figures of a run: sheets of images, curves and attention, as PNG files."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigen.metrics import mean_interval


def image_sheet(path: str | os.PathLike, images: Any, columns: int, gap: int = 2) -> None:
    """Write grey images (N, H, W), or of colour (N, H, W, 3), in [0, 1]: columns wide, 2x size."""
    from matplotlib.image import imsave

    images = np.asarray(images, np.float32)
    count, height, width, *channels = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, *channels)
    sheet = np.full(shape, 0.35, np.float32)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        sheet[top : top + height, left : left + width] = image
    imsave(path, sheet.repeat(2, 0).repeat(2, 1), cmap="gray", vmin=0, vmax=1)


def curves(
    path: str | os.PathLike,
    panels: Sequence[Mapping[str, Sequence[float]]],
    xlabel: str = "epoch",
    ylabels: Sequence[str] = (),
) -> None:
    """Write a figure of panels side by side, each a mapping from label to values over epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    for i, (axes, panel) in enumerate(
        zip(figure.subplots(1, len(panels), squeeze=False)[0], panels)
    ):
        for label, values in panel.items():
            style = "-" if len(values) > 1 else "o"
            axes.plot(range(1, len(values) + 1), values, style, label=label)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabels[i] if i < len(ylabels) else "")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path)


def point_clouds(
    path: str | os.PathLike, clouds: Mapping[str, Any], marks: Any, radius: float
) -> None:
    """Write points of the plane (N, 2), a panel for each title, with circles around marks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure(figsize=(4.2 * len(clouds), 4.5), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(clouds), squeeze=False, sharex=True, sharey=True)
    for axes, (title, points) in zip(grid[0], clouds.items()):
        axes.scatter(*np.asarray(points).T, s=1, alpha=0.4, linewidths=0)
        for mark in marks:
            axes.add_patch(Circle(mark, radius, fill=False, color="crimson", linewidth=0.6))
        axes.set_title(title, fontsize=10)
        axes.set_aspect("equal")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def paired_points(
    path: str | os.PathLike, panels: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str
) -> None:
    """Write a panel for each title: a column of points for each label, value i of one joined to
    value i of the next, and beside each column its mean with the 95 % confidence interval."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(panels), 3.4), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (title, columns) in zip(grid[0], panels.items()):
        places = range(len(columns))
        axes.plot(places, list(columns.values()), "o-", color="0.6", markersize=4, linewidth=0.8)
        means, reaches = zip(*map(mean_interval, columns.values()))
        beside = [x + (0.12 if x else -0.12) for x in places]  # clear of the lines
        axes.errorbar(beside, means, reaches, fmt="D", color="crimson", capsize=4, markersize=5)
        axes.set_xticks(places, columns)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_title(title, fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0][0].set_ylabel(ylabel)
    figure.savefig(path)


def captioned_images(
    path: str | os.PathLike,
    images: Any,
    captions: Sequence[str],
    columns: int,
    marked: Sequence[bool] = (),
) -> None:
    """Write grey images (N, H, W) in [0, 1] with a caption under each, red where marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(images) // columns)
    figure = Figure(figsize=(0.8 * columns, rows), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for i, axes in enumerate(grid):
        axes.set_axis_off()
        if i < len(images):
            axes.imshow(images[i], cmap="gray", vmin=0, vmax=1)
            color = "red" if i < len(marked) and marked[i] else "black"
            axes.text(
                0.5,
                -0.05,
                captions[i],
                color=color,
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=8,
            )
    figure.savefig(path)


def attention_maps(
    path: str | os.PathLike,
    maps: Sequence[Any],
    rows: Sequence[Sequence[str]],
    columns: Sequence[Sequence[str]],
    titles: Sequence[str] = (),
    across: int = 2,
) -> None:
    """Write attention weights (T, S) in [0, 1] as pictures, `across` of them side by side.

    The weights of map i have rows[i] (T,) beside them, what attends, and columns[i] (S,) above,
    what is attended to: a few characters each. Longer labels than maps are cut.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cell, left, gap = 0.15, 0.25, 0.15  # inches: of a weight, for labels, between maps
    top = 0.5 if titles else 0.25
    queries, keys = np.max([np.shape(weights) for weights in maps], axis=0)
    wide, high = left + keys * cell + gap, top + queries * cell + gap
    width, height = wide * min(across, len(maps)), high * -(-len(maps) // across)
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    style = {"fontsize": 8, "family": "DejaVu Sans Mono"}  # a font that comes with matplotlib
    for i, weights in enumerate(maps):
        queries, keys = np.shape(weights)
        x, y = i % across * wide + left, height - i // across * high - top - queries * cell
        place = (x / width, y / height, keys * cell / width, queries * cell / height)
        axes = figure.add_axes(place)  # by hand, so that a weight has one size in all of them
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(keys), map(_visible, columns[i][:keys]), **style)
        axes.set_yticks(range(queries), map(_visible, rows[i][:queries]), **style)
        axes.tick_params(length=0, pad=2, labeltop=True, labelbottom=False)
        axes.spines[:].set_color("0.8")
        if i < len(titles):
            axes.set_title(titles[i], fontsize=9, loc="left")
    figure.savefig(path)


def _visible(character: str) -> str:
    """A sign for white space, any other character as it is."""
    return {" ": "␣", "\n": "↵", "\t": "⇥"}.get(character, character)
