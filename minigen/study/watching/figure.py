"""The figure of `watch`: layers downwards, watched steps to the right, a panel a quantity."""

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from minigen.figures.canvas import Picture, blank_figure, literal, written

Row = dict[str, Any]
ROW_HEIGHT, MAX_HEIGHT = 0.2, 60  # inches
MAX_NAME = 44  # characters
MAX_TICKS = 5  # of steps
GREY, BLACK = "0.92", "black"  # where there is no number, and where it is 0
ZERO = -999.0  # stands for the logarithm of 0


def draw_layers(path: str | os.PathLike, rows: Sequence[Row], warned: Collection[str]) -> Picture:
    """Write the figure of the rows of a `Watch`; names of layers in `warned` are red.

    The number beside each line is that of its last watched step. Black is 0. An empty figure says
    that there is no row yet.
    """
    from matplotlib import colormaps

    labels = {row["layer"]: _label(row) for row in rows}
    layers = list(labels)
    steps = list(dict.fromkeys(row["step"] for row in rows))
    grids = [(*panel, _grid(rows, layers, steps, panel[1])) for panel in PANELS]
    grids = [panel for panel in grids if np.isfinite(panel[-1]).any()]
    if not grids:
        return _empty(path)
    height = min(ROW_HEIGHT * len(layers), MAX_HEIGHT)
    longest = max(map(len, labels.values()))
    figure = blank_figure(2.6 * len(grids) + 0.075 * longest + 0.3, height + 1.1)
    panels = figure.subplots(1, len(grids), squeeze=False, sharey=True)[0]
    for axes, (title, _, colours, limits, number, grid) in zip(panels, grids):
        low, high = limits or _limits(grid)
        axes.set_facecolor(GREY)
        colour_map = colormaps[colours].with_extremes(under=BLACK)
        image = axes.imshow(
            grid, colour_map, aspect="auto", interpolation="nearest", vmin=low, vmax=high
        )
        scale = figure.colorbar(image, ax=axes, location="bottom", shrink=0.9, aspect=30, pad=0.02)
        scale.ax.tick_params(labelsize=7)
        axes.set_title(title, fontsize=9)
        shown = np.unique(np.linspace(0, len(steps) - 1, min(MAX_TICKS, len(steps))).astype(int))
        axes.set_xticks(shown, [str(steps[i]) for i in shown], fontsize=7)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        for i, line in enumerate(grid):
            if np.isfinite(line).any():
                last = line[np.isfinite(line)][-1]
                where = (1.01, i)
                axes.annotate(
                    number(last), where, xycoords=("axes fraction", "data"), va="center", fontsize=7
                )
    every = -(-len(layers) // int(MAX_HEIGHT / ROW_HEIGHT))  # 1 unless there are 300 layers
    panels[0].set_yticks(range(0, len(layers), every))
    panels[0].set_yticklabels([literal(labels[name]) for name in layers[::every]], fontsize=7)
    for label, name in zip(panels[0].get_yticklabels(), layers[::every]):
        label.set_color("crimson" if name in warned else "black")
    panels[0].set_xlabel("step", fontsize=7, loc="left")
    return written(figure, path)


def _grid(rows: Sequence[Row], layers: list, steps: list, value: Callable) -> np.ndarray:
    """The value of each layer (downwards) at each step, NaN where there is none."""
    grid = np.full((len(layers), len(steps)), np.nan)
    row_of, column_of = ({x: i for i, x in enumerate(items)} for items in (layers, steps))
    for row in rows:
        x = value(row)
        if x is not None:
            grid[row_of[row["layer"]], column_of[row["step"]]] = x
    return grid


def _limits(grid: np.ndarray) -> tuple[float, float]:
    """The range of the colours: that of the numbers, but at least two decades."""
    numbers = grid[np.isfinite(grid) & (grid != ZERO)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (-1.0, 1.0)
    margin = max(0.0, 2 - (high - low)) / 2
    return low - margin, high + margin


def _log(x: float | None) -> float | None:
    return None if x is None else float(np.log10(x)) if x else ZERO


def _units(row: Row) -> float | None:
    """The per cent of dead units, or of saturated values."""
    share = row["saturated"] if row["dead"] is None else row["dead"]
    return None if share is None else 100 * share


def _update(row: Row) -> float | None:
    """That of the first parameter with one, which is the weight."""
    return _log(next((ratio for ratio in row["updates"].values() if ratio is not None), None))


def _power(x: float) -> str:
    """A logarithm as a number with two digits."""
    return f"{10**x:.2g}"


# title, value of a row, colours, range of the colours, text of a number
PANELS = (
    ("activations, log10 of std", lambda row: _log(row["std"]), "viridis", None, _power),
    ("gradients, log10 of std", lambda row: _log(row["grad_std"]), "viridis", None, _power),
    ("dead or saturated, %", _units, "Reds", (0, 100), "{:.0f}".format),
    ("update / weight, log10", _update, "RdBu_r", (-6, 0), _power),  # -3 is white, and usual
)


def _label(row: Row) -> str:
    """The layer and its class: "body.1 ReLU", or "blocks.0:gelu"."""
    name, class_name = row["layer"], row["class"]
    return _short(name if class_name in name else f"{name} {class_name}")


def _short(name: str) -> str:
    """A name with at most MAX_NAME characters: its beginning and its end."""
    half = MAX_NAME // 2 - 1
    return name if len(name) <= MAX_NAME else f"{name[:half]}...{name[-half:]}"


def _empty(path: str | os.PathLike) -> Picture:
    figure = blank_figure(5, 1)
    figure.text(0.5, 0.5, "no step was watched yet", ha="center", va="center")
    return written(figure, path)
