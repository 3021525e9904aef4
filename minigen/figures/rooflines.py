"""Rooflines (Williams et al. 2009): how close ops come to what the machine can do."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minigen.figures.canvas import Picture, blank_figure, literal, written

LOOKS = {"forward": ("o", "#1f77b4"), "backward": ("D", "#e8702a")}  # marker and colour
NOTE = {"textcoords": "offset points", "ha": "right", "fontsize": 8}
LARGEST = 700  # square points: the area of the dot that took most time


class Dot(NamedTuple):
    """What one op did in one direction, "forward" or "backward"; label: "" for none."""

    direction: str
    flops: float
    bytes: float
    seconds: float
    label: str = ""


def roofline(
    path: str | os.PathLike,
    dots: Sequence[Dot],
    bandwidth: float,
    peaks: Mapping[str, float],
    title: str = "",
) -> Picture:
    """Write a figure of FLOPs per second over FLOPs per byte, a dot for each op that has both.

    bandwidth: bytes per second, the slanted roof. peaks: FLOPs per second by the name of a dtype,
    the level roofs. The area of a dot is its time.
    """
    dots = [dot for dot in dots if dot.flops > 0 and dot.bytes > 0 and dot.seconds > 0]
    figure = blank_figure(8.2, 5.4)
    axes = figure.subplots()
    ridges = [peak / bandwidth for peak in peaks.values()]
    across = [dot.flops / dot.bytes for dot in dots] + ridges
    low, high = min(across) / 4, max(across) * 6
    for (name, peak), ridge in zip(peaks.items(), ridges):
        bend = [low, min(max(ridge, low), high), high]
        axes.plot(bend, [min(peak, bandwidth * x) / 1e9 for x in bend], "k-", linewidth=1.2)
        text = f"{peak / 1e9:,.0f} GFLOP/s, products in {name}"
        axes.annotate(text, (high, peak / 1e9), (-4, 3), **NOTE)
    slant = math.sqrt(low * min(ridges))
    text = f"{bandwidth / 1e9:,.0f} GB/s"
    spot = slant, bandwidth * slant / 1e9
    axes.annotate(text, spot, (-4, 6), **NOTE)
    longest = max((dot.seconds for dot in dots), default=1.0)
    for dot in sorted(dots, key=lambda dot: -dot.seconds):  # small ones on top of large ones
        marker, color = LOOKS[dot.direction]
        area = max(LARGEST * dot.seconds / longest, 6)
        spot = dot.flops / dot.bytes, dot.flops / dot.seconds / 1e9
        axes.scatter(*spot, s=area, marker=marker, color=color, alpha=0.6, linewidths=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    _name(axes, [dot for dot in dots if dot.label])
    for direction, (marker, color) in LOOKS.items():
        axes.scatter([], [], marker=marker, color=color, alpha=0.6, label=direction)
    axes.set_xlabel("FLOPs per byte moved")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(literal(title), fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return written(figure, path)


def _name(axes, dots: list[Dot]) -> None:
    """Write the labels in the upper left corner, above the roofs, and lead a line to each dot."""
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom / 2, top * 8)
    for i, dot in enumerate(sorted(dots, key=lambda dot: -dot.flops / dot.bytes)):
        axes.annotate(
            literal(dot.label),
            (dot.flops / dot.bytes, dot.flops / dot.seconds / 1e9),
            (0.02, 0.95 - 0.06 * i),
            textcoords="axes fraction",
            fontsize=9,
            color=LOOKS[dot.direction][1],
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},  # over lines of others
            arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.7, "relpos": (1, 0.5)},
        )
