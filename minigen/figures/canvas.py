"""An empty matplotlib figure, which the other files draw on, and the file that it becomes."""

import os
import warnings
from pathlib import Path
from typing import Any


class Picture:
    """A picture in a file. A notebook shows a PNG file where the value of a cell is its Picture."""

    def __init__(self, path: Path):
        self.path = path

    def __repr__(self) -> str:
        return f"Picture({str(self.path)!r})"

    def _repr_png_(self) -> bytes | None:
        return self.path.read_bytes() if self.path.suffix.lower() == ".png" else None


def blank_figure(width: float, height: float, layout: str | None = "constrained") -> Any:
    """An empty matplotlib figure of width x height inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, dpi=120)
    FigureCanvasAgg(figure)
    return figure


def literal(text: str) -> str:
    """A user's text, such as the name of a class, as matplotlib draws it without formulas."""
    return text.replace("$", r"\$")


def written(figure: Any, path: str | os.PathLike) -> Picture:
    """The figure in a file, in the format that the ending of path names.

    ValueError for an ending that names none.
    """
    path = Path(path).expanduser()
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ValueError(
            f"the ending of {str(path)!r} names no format of pictures: end the name of the file in "
            f".png, or in one of {', '.join(sorted(formats))}"
        )
    with warnings.catch_warnings():  # characters that the font lacks are drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(path)
    return Picture(path)
