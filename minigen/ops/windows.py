"""The geometry of windows that slide over images (N, C, H, W), for convolution and pooling."""

import operator

from minigen.errors import ShapeError
from minigen.ops.joining import pad

Sides = int | tuple[int, int]


def pair(name: str, argument: str, value: Sides, low: int = 1, dims: int = 2) -> tuple[int, int]:
    """A setting for (rows, columns) from one number for both, or one for each.

    With dims=1 the images are sequences, one row high, and the setting is for the columns.
    """
    try:
        given = tuple(map(operator.index, value if isinstance(value, tuple | list) else (value,)))
    except TypeError:
        given = ()
    if len(given) not in (1, dims) or min(given) < low:
        form = "a whole number" if dims == 1 else "a whole number or two"
        raise ValueError(f"{name}: {argument} must be {form}, at least {low}, got {value!r}")
    if dims == 1:
        return (low, *given)
    return given * 2 if len(given) == 1 else given


def check_room(name: str, sides, size, dilation=(1, 1)) -> None:
    """ShapeError unless a window of that size finds room, or if it has none."""
    spans = tuple(d * (k - 1) + 1 for k, d in zip(size, dilation))
    if min(size) < 1 or any(n < span for n, span in zip(sides, spans)):
        raise ShapeError(
            f"{name}: a window of {spans} finds no room in images that are {tuple(sides)} with "
            "their padding; use a smaller kernel or more padding"
        )


def padded(x, padding: tuple[int, int], value: float = 0):
    """x with a border of (rows, columns) on both sides."""
    return pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)), value) if any(padding) else x
