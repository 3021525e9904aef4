"""Lines of NumPy for ops on images and their windows: convolution and pooling.

Their functions take the same arguments and return the same as those in `array_lines`.
"""

from minigen.study.programs.expressions import filled, literal
from minigen.study.programs.line_parts import arguments, is_array, one

GEOMETRY = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def pair_text(pair):
    """(2, 2) as 2, which means the same."""
    return literal(pair[0] if type(pair) is tuple and len(set(pair)) == 1 else pair)


def convolution_line(name):
    """The line of one of the three convolutions, which the program defines."""

    def line(args, static, outputs):
        arrays = [x for x in args if is_array(x)]
        names = {f"x{i}": x.text for i, x in enumerate(arrays)}
        named = [
            f"{key}={literal(x) if key == 'size' else pair_text(x)}"
            for key, x in static.items()
            if x != GEOMETRY.get(key)
        ]
        return filled(f"{name}({', '.join([*names, *named])})", names, (name,))

    return line


def max_indices_line(args, static, outputs):
    """max_indices(x, size, stride, padding), which the program defines."""
    size, stride, padding = (tuple(static[key]) for key in ("size", "stride", "padding"))
    named = (
        "" if stride == size else f"stride={pair_text(stride)}",
        "" if padding == (0, 0) else f"padding={pair_text(padding)}",
    )
    return one(f"max_indices({arguments('x', literal(size), *named)})", args[0], "max_indices")


def sum_windows_line(args, static, outputs):
    """The sums of windows."""
    size, stride = literal(static["size"]), pair_text(static["stride"])
    return one(f"windows(x, {size}, {stride}).sum(axis=(4, 5))", args[0], "windows")


def spread_windows_line(args, static, outputs):
    """Each value of x in all of its window, added up."""
    (x,), size, stride = args, tuple(static["size"]), pair_text(static["stride"])
    values = f"np.broadcast_to(x[..., None, None], {literal((*x.shape, *size))})"
    shape = literal(tuple(static["shape"]))
    return one(f"add_windows({values}, {shape}, {stride})", x, "add_windows")


WINDOW_LINES = {
    "_convolve": convolution_line("convolve"),
    "_convolve_transpose": convolution_line("convolve_transpose"),
    "_convolve_weight": convolution_line("convolve_weight"),
    "_max_indices": max_indices_line,
    "_sum_windows": sum_windows_line,
    "_spread_windows": spread_windows_line,
}
