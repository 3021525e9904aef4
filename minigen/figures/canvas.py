"""An empty matplotlib figure, which the other files draw on."""

from typing import Any


def blank_figure(width: float, height: float, layout: str | None = "constrained") -> Any:
    """An empty matplotlib figure of width x height inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, dpi=120)
    FigureCanvasAgg(figure)
    return figure
