"""Settings of sliding windows over images (N, C, H, W), for convolution and pooling."""

import operator

from minigen.errors import ShapeError
from minigen.ops.joining import pad

IntOrPair = int | tuple[int, int]


def pair(
    name: str, argument: str, value: IntOrPair, minimum: int = 1, dims: int = 2
) -> tuple[int, int]:
    """value as (along H, along W): one integer for both axes, or a pair.

    With dims=1 the images are sequences with H = 1, and value is the setting along W. ValueError,
    which names the op and the argument, unless value consists of integers >= minimum.
    """
    try:
        values = tuple(map(operator.index, value if isinstance(value, tuple | list) else (value,)))
    except TypeError:
        values = ()
    if len(values) not in (1, dims) or min(values) < minimum:
        form = "a whole number" if dims == 1 else "a whole number or two"
        raise ValueError(f"{name}: {argument} must be {form}, at least {minimum}, got {value!r}")
    if dims == 1:
        return (minimum, *values)
    return values * 2 if len(values) == 1 else values


def check_window_fits(name: str, image_size, size, dilation=(1, 1)) -> None:
    """ShapeError if windows of size (kh, kw) are empty or larger than images with their padding."""
    spans = tuple(d * (k - 1) + 1 for k, d in zip(size, dilation))
    if min(size) < 1 or any(n < span for n, span in zip(image_size, spans)):
        raise ShapeError(
            f"{name}: a window of {spans} finds no room in images that are {tuple(image_size)} "
            "with their padding; use a smaller kernel or more padding"
        )


def padded(x, padding: tuple[int, int], value: float = 0):
    """x (N, C, H, W) with padding[0] rows and padding[1] columns of value at both ends."""
    return pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)), value) if any(padding) else x
