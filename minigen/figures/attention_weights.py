"""The attention weights of several heads, as one picture."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.figures.canvas import blank_figure


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
    cell, left, gap = 0.15, 0.25, 0.15  # inches: of a weight, for labels, between maps
    top = 0.5 if titles else 0.25
    queries, keys = np.max([np.shape(weights) for weights in maps], axis=0)
    wide, high = left + keys * cell + gap, top + queries * cell + gap
    width, height = wide * min(across, len(maps)), high * -(-len(maps) // across)
    figure = blank_figure(width, height, layout=None)
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
