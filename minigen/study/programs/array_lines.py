"""Lines of NumPy for ops that move values: shapes, indices, joining; and for products.

Each function takes the operands of a call, its static arguments, and the shape and dtype of each
result, and returns the line.
"""

import ast
from itertools import accumulate

from minigen.communication.world import current
from minigen.study.programs.expressions import filled, index_parts, literal, parsed, subscript
from minigen.study.programs.line_parts import arguments, is_array, one, sum_dtype, unchanged
from minigen.study.programs.operands import Written

# ------------------------------------------------------------------------------- shapes


def sum_to_line(args, static, outputs):
    """The sum over the axes that broadcasting added or stretched."""
    (x,), shape = args, tuple(static["shape"])
    lead = len(x.shape) - len(shape)
    added = tuple(range(lead))
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1 != x.shape[lead + i])
    axes, dtype = added + stretched, sum_dtype(x.dtype)
    if not axes:
        return unchanged(x)
    if len(axes) == len(x.shape) and not shape:
        return one(f"x.sum({dtype})", x)
    axis = f"axis={axes[0] if len(axes) == 1 else axes}"
    if added and stretched:
        return one(f"x.sum({arguments(axis, dtype)}).reshape({shape_text(shape)})", x)
    return one(f"x.sum({arguments(axis, 'keepdims=True' if stretched else '', dtype)})", x)


def broadcast_to_line(args, static, outputs):
    """A view of the shape of the result."""
    (x,), ((shape, _),) = args, outputs
    return unchanged(x) if x.shape == shape else one(f"np.broadcast_to(x, {literal(shape)})", x)


def reshape_line(args, static, outputs):
    """New axes as x[:, None], axes that go as x.squeeze(1), else x.reshape(3, 4)."""
    (x,), ((shape, _),) = args, outputs
    if x.shape == shape:
        return unchanged(x)
    if (added := new_axes(x.shape, shape)) is not None:
        parts = ["None" if i in added else ":" for i in range(len(shape))]
        first = added[0]
        if first > 1 and ":" not in parts[first:]:
            parts[:first] = ["..."]
        while parts[-1] == ":":
            parts.pop()
        return one(f"x[{', '.join(parts)}]", x)
    if (removed := new_axes(shape, x.shape)) is not None:
        if (text := indexed(x.text, removed)) is not None:
            return Written(text)
        return one(f"x.squeeze({literal(removed[0] if len(removed) == 1 else removed)})", x)
    return one(f"x.reshape({'-1' if len(shape) == 1 and shape[0] else shape_text(shape)})", x)


def new_axes(shape, longer):
    """The axes of length 1 that make the shape the longer one; None if that is not how it is."""
    lengths, added = list(shape), []
    for i, n in enumerate(longer):
        if lengths and lengths[0] == n:
            lengths.pop(0)
        elif n == 1:
            added.append(i)
        else:
            return None
    return None if lengths else tuple(added)


def indexed(text, axes):
    """x[3] for x[3:4] without that axis; None for another expression or if axes are others."""
    tree = parsed(text)
    if not isinstance(tree, ast.Subscript):
        return None
    parts = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
    if not all(isinstance(part, ast.Slice) for part in parts) or axes[-1] >= len(parts):
        return None
    texts = [ast.unparse(part) for part in parts]
    for axis in axes:
        start, _, stop = texts[axis].partition(":")
        if not (start.isdigit() and stop.isdigit() and int(stop) == int(start) + 1):
            return None
        texts[axis] = start
    return f"{ast.unparse(tree.value)}[{', '.join(texts)}]"


def shape_text(shape):
    """A shape as arguments of reshape."""
    return ", ".join(map(str, shape)) or "()"


def transpose_line(args, static, outputs):
    """x.T, x.swapaxes(1, 2), or else x.transpose(2, 0, 1)."""
    (x,) = args
    ndim = len(x.shape)
    axes = static["axes"] or range(ndim)[::-1]
    axes = [axis % ndim for axis in axes]
    moved = [i for i, axis in enumerate(axes) if i != axis]
    if not moved:
        return unchanged(x)
    if axes == list(range(ndim))[::-1]:
        return one("x.T", x)
    if len(moved) == 2:
        pair = (-2, -1) if moved == [ndim - 2, ndim - 1] else tuple(moved)
        return one(f"x.swapaxes({pair[0]}, {pair[1]})", x)
    return one(f"x.transpose({', '.join(map(str, axes))})", x)


def flip_line(args, static, outputs):
    """x[::-1], or else np.flip."""
    (x,), axis = args, static["axis"]
    ndim = len(x.shape)
    if ndim and (axis in (0, -ndim) or (ndim == 1 and axis is None)):
        return one("x[::-1]", x)
    return one(f"np.flip({arguments('x', '' if axis is None else literal(axis))})", x)


def roll_line(args, static, outputs):
    """np.roll."""
    axis = static["axis"]
    texts = "x", literal(static["shift"]), "" if axis is None else f"axis={literal(axis)}"
    return one(f"np.roll({arguments(*texts)})", args[0])


def triangle_line(name):
    """The line of tril or triu."""

    def line(args, static, outputs):
        k = literal(static["k"]) if static["k"] else ""
        return one(f"np.{name}({arguments('x', k)})", args[0])

    return line


def same_line(args, static, outputs):
    """The argument itself: of a move to another device, for example."""
    return unchanged(args[0])


# ------------------------------------------------------------------- indices and joining


def sum_over_ranks_line(args, static, outputs):
    """x, whose sum over the ranks is itself where there is one; a program runs in one process."""
    if current().size > 1:
        raise TypeError("it adds arrays of all ranks; record the step of one process")
    return same_line(args, static, outputs)


def getitem_line(args, static, outputs):
    """x[index]."""
    return one(f"x[{subscript(static['index'])}]", args[0])


def scatter_line(args, static, outputs):
    """scatter(updates, index, shape), which the program defines."""
    index = static["index"]
    has_slices = any(isinstance(part, slice) or part is Ellipsis for part in index_parts(index))
    text = f"np.s_[{subscript(index)}]" if has_slices else literal(index)
    return one(f"scatter(x, {text}, {literal(static['shape'])})", args[0], "scatter")


def pad_line(args, static, outputs):
    """np.pad, with one number if the border is equal everywhere."""
    (x,), width, value = args, tuple(static["pad_width"]), static["value"]
    if not width:
        return unchanged(x)
    sizes = {n for pair in width for n in pair}
    border = literal(sizes.pop()) if len(sizes) == 1 else literal(width)
    constant = f"constant_values={literal(value)}" if value else ""
    return one(f"np.pad({arguments('x', border, constant)})", x)


def crop_line(args, static, outputs):
    """x[1:-1, 2:]; x[3:4] for one value of an axis."""
    (x,) = args
    cuts = [
        slice(before, before + 1)
        if n - before - after == 1 < n
        else slice(before or None, -after or None)
        for n, (before, after) in zip(x.shape, static["pad_width"])
    ]
    while cuts and cuts[-1] == slice(None):
        cuts.pop()
    return one(f"x[{subscript(tuple(cuts))}]", args[0]) if cuts else unchanged(args[0])


def concatenate_line(args, static, outputs):
    """np.concatenate."""
    names = {f"x{i}": x.text for i, x in enumerate(args)}
    axis = f"axis={static['axis']}" if static["axis"] else ""
    parts = f"[{', '.join(names)}]"
    return filled(f"np.concatenate({arguments(parts, axis)})", names)


def split_line(args, static, outputs):
    """np.split, into a number of equal parts or between indices."""
    sizes, axis = static["sizes"], static["axis"]
    borders = list(accumulate(sizes))[:-1]
    parts = literal(len(sizes) if len(set(sizes)) == 1 else borders)
    return one(f"np.split({arguments('x', parts, f'axis={axis}' if axis else '')})", args[0])


def take_along_rows_line(args, static, outputs):
    """np.take_along_axis."""
    return one(f"np.take_along_axis(x, {literal(static['index'])}, axis=1)", args[0])


def scatter_along_rows_line(args, static, outputs):
    """scatter_along_rows(x, index, size), which the program defines."""
    settings = f"{literal(static['index'])}, {static['size']}"
    return one(f"scatter_along_rows(x, {settings})", args[0], "scatter_along_rows")


# ----------------------------------------------------------------------------- products


def matmul_line(args, static, outputs):
    """a @ b."""
    return filled("a @ b", {"a": args[0].text, "b": args[1].text})


def linear_line(args, static, outputs):
    """x @ w.T + b."""
    template = "x @ w.T + b" if is_array(args[2]) else "x @ w.T"
    return filled(template, dict(zip("xwb", (x.text for x in args))))


def einsum_line(args, static, outputs):
    """np.einsum."""
    names = {f"x{i}": x.text for i, x in enumerate(args)}
    spec = f"{','.join(static['terms'])}->{static['out']}"
    return filled(f'np.einsum("{spec}", {", ".join(names)})', names)


ARRAY_LINES = {
    "_identity": same_line,
    "sum_to": sum_to_line,
    "broadcast_to": broadcast_to_line,
    "reshape": reshape_line,
    "transpose": transpose_line,
    "flip": flip_line,
    "roll": roll_line,
    "tril": triangle_line("tril"),
    "triu": triangle_line("triu"),
    "_to_device": same_line,
    "sum_over_ranks": sum_over_ranks_line,
    "_getitem": getitem_line,
    "scatter": scatter_line,
    "_pad": pad_line,
    "crop": crop_line,
    "_concatenate": concatenate_line,
    "_split": split_line,
    "_take_along_rows": take_along_rows_line,
    "_scatter_along_rows": scatter_along_rows_line,
    "_matmul": matmul_line,
    "_linear": linear_line,
    "_einsum": einsum_line,
}
