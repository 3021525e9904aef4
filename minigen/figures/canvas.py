"""The figure that every chart starts from."""

from typing import Any


def blank_figure(width: float, height: float, layout: str | None = "constrained") -> Any:
    """An empty matplotlib figure of width x height inches, which needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, dpi=120)
    FigureCanvasAgg(figure)
    return figure
