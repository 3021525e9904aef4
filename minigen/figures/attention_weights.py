"""The attention weights of several heads in one figure."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.figures.canvas import Picture, blank_figure, written


def attention_maps(
    path: str | os.PathLike,
    maps: Sequence[Any],
    rows: Sequence[Sequence[str]],
    columns: Sequence[Sequence[str]],
    titles: Sequence[str] = (),
    across: int = 2,
) -> Picture:
    """Write attention weights (T, S) in [0, 1] as a figure with `across` maps side by side.

    rows[i] has T labels for map i, one for each query; columns[i] has S labels, one for each key.
    Labels are a few characters long. Labels beyond T and S are not drawn.
    """
    cell, left, gap = 0.15, 0.25, 0.15  # inches: side of a weight, width of labels, between maps
    top = 0.5 if titles else 0.25
    queries, keys = np.max([np.shape(weights) for weights in maps], axis=0)
    wide, high = left + keys * cell + gap, top + queries * cell + gap
    width, height = wide * min(across, len(maps)), high * -(-len(maps) // across)
    figure = blank_figure(width, height, layout=None)
    style = {"fontsize": 8, "family": "DejaVu Sans Mono"}  # a font that comes with matplotlib
    for i, weights in enumerate(maps):
        queries, keys = np.shape(weights)
        x, y = i % across * wide + left, height - i // across * high - top - queries * cell
        # Axes with an explicit rectangle: matplotlib's layout would scale maps of different shapes,
        # and a weight would not have the same size in all of them.
        rectangle = (x / width, y / height, keys * cell / width, queries * cell / height)
        axes = figure.add_axes(rectangle)
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(keys), map(_visible, columns[i][:keys]), **style)
        axes.set_yticks(range(queries), map(_visible, rows[i][:queries]), **style)
        axes.tick_params(length=0, pad=2, labeltop=True, labelbottom=False)
        axes.spines[:].set_color("0.8")
        if i < len(titles):
            axes.set_title(titles[i], fontsize=9, loc="left")
    return written(figure, path)


def _visible(character: str) -> str:
    """A visible symbol for white space, any other character unchanged."""
    return {" ": "␣", "\n": "↵", "\t": "⇥"}.get(character, character)
