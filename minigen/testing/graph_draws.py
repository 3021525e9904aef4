"""Draws the random programs of `graphs`: which step may follow, which programs are discarded."""

from collections import Counter
from dataclasses import replace

import numpy as np

from minigen.testing.choices import GAP, Choices
from minigen.testing.graphs import Program, Ref, Step, by_reference

LARGEST = 3.0  # |value| of a result; larger ones are scaled down
MAX_SLOPE = 1e3  # programs with a steeper loss are discarded as ill conditioned
MAX_SENSITIVITY = 1e2  # relative change of the slope over that of the inputs


def draw_program(c: Choices, rejected: Counter | None = None) -> Program:
    """A program of 3 to 25 steps. `rejected` counts the discarded steps and programs by reason."""
    rejected = Counter() if rejected is None else rejected
    while True:
        program = _drawn(c, rejected)
        reason = _unfit(program, c)
        if reason is None:
            return program
        rejected[reason] += 1


def _drawn(c, rejected):
    full = c.shape(max_dims=3, min_side=1)
    shapes = [full, *(c.narrowed(full) for _ in range(c.integer(0, 2)))]
    program = Program([c.array(shape) for shape in shapes], [])
    values = list(program.inputs)
    count = c.integer(3, 25)
    while len(program.steps) < count:
        step = c.pick(STEPS)(c, values)
        if step is None:  # no value has a shape and a range that the op takes
            rejected["step"] += 1
            continue
        with np.errstate(all="ignore"):
            y = by_reference(step, step.arguments(values))
        if y.size == 0 or y.size > 200 or not np.isfinite(y).all():
            rejected["value"] += 1
            continue
        largest = float(np.abs(y).max())
        if largest > LARGEST:
            step = replace(step, scale=2 / largest)
        program.steps.append(step)
        values.append(y * step.scale)
    program.weights = [c.array(x.shape, -1.0, 1.0) for x in values]
    return program


def _unfit(program, c):
    """Why the gradient of a program is ill conditioned; None if it is not."""
    us = [c.array(x.shape, -1.0, 1.0) for x in program.inputs]
    slope = program.slope(program.inputs, us)
    if not abs(slope) < MAX_SLOPE:
        return "steep"
    moved = [x * (1 + 1e-7 * c.array(x.shape, -1.0, 1.0)) for x in program.inputs]
    change = abs(program.slope(moved, us) - slope) / max(1.0, abs(slope))
    return "sensitive" if change > MAX_SENSITIVITY * 1e-7 else None


# ------------------------------- steps: functions of Choices and the values computed so far


def _any(c, values):
    """One of the values; the last one is as likely as all others together."""
    if c.flag():
        return Ref(len(values) - 1)
    return Ref(c.integer(0, len(values) - 1))


def _like(c, values, ref):
    """A value that broadcasts with that of ref to a size of at most 200."""
    shape, fitting = values[ref.index].shape, []
    for i, x in enumerate(values):
        try:
            if np.prod(np.broadcast_shapes(shape, x.shape)) <= 200:
                fitting.append(i)
        except ValueError:
            pass
    return Ref(c.pick(fitting))


def _unary(name, *kinks, low=None, **kwargs):
    def step(c, values):
        ref = _any(c, values)
        x = values[ref.index]
        near = any((np.abs(x - kink) < GAP).any() for kink in kinks)
        return None if near or (low is not None and x.min() < low) else Step(name, (ref,), kwargs)

    return step


def _binary(name, untied=False, low=None):
    def step(c, values):
        a = _any(c, values)
        b = _like(c, values, a)
        x, y = values[a.index], values[b.index]
        if untied and (np.abs(x - y) < GAP).any():
            return None
        if low is not None and (np.abs(y) < low).any():
            return None
        return Step(name, (a, b))

    return step


def _power(c, values):
    a = _any(c, values)
    b = _like(c, values, a)
    return Step("power", (a, b)) if values[a.index].min() > 0.3 else None


def _where(c, values):
    a = _any(c, values)
    b = _like(c, values, a)
    shape = np.broadcast_shapes(values[a.index].shape, values[b.index].shape)
    return Step("where", (c.mask(shape), a, b))


def _over_axes(name, untied=False):
    def step(c, values):
        ref = _any(c, values)
        x = values[ref.index]
        axis = c.axes(x.ndim)
        if untied:
            if x.ndim == 0 or not isinstance(axis, int):
                return None
            gaps = np.diff(np.sort(x, axis), axis=axis)
            if (gaps < GAP).any():
                return None
        return Step(name, (ref,), {"axis": axis, "keepdims": c.flag()})

    return step


def _along_axis(name, **kwargs):
    def step(c, values):
        ref = _any(c, values)
        ndim = values[ref.index].ndim
        return Step(name, (ref,), {"axis": c.axis(ndim), **kwargs}) if ndim else None

    return step


def _reshape(c, values):
    ref = _any(c, values)
    shape = values[ref.index].shape
    return Step("reshape", (ref, c.pick(((-1,), shape[::-1], (*shape, 1), (1, *shape)))))


def _transpose(c, values):
    ref = _any(c, values)
    return Step("transpose", (ref, tuple(c.rng.permutation(values[ref.index].ndim).tolist())))


def _getitem(c, values):
    ref = _any(c, values)
    x = values[ref.index]
    if x.ndim == 0:
        return None
    n = x.shape[0]
    index = c.pick(
        (
            c.integer_array((c.integer(1, 4),), -n, n),  # may have duplicates
            slice(None, None, -1),
            slice(0, None, 2),
            (Ellipsis, None, c.integer(0, x.shape[-1] - 1)),
            c.mask((n,)),
        )
    )
    return Step("getitem", (ref, index))


def _take_along_axis(c, values):
    ref = _any(c, values)
    x = values[ref.index]
    if x.ndim == 0:
        return None
    axis = c.integer(0, x.ndim - 1)
    return Step("take_along_axis", (ref, c.integer_array(x.shape, 0, x.shape[axis]), axis))


def _joined(name):
    def step(c, values):
        ref = _any(c, values)
        x = values[ref.index]
        same = [Ref(i) for i, y in enumerate(values) if y.shape == x.shape]
        if x.ndim == 0 or not same:
            return None
        return Step(name, ([ref, c.pick(same), c.pick(same)], c.integer(0, x.ndim - 1)))

    return step


def _pad(c, values):
    ref = _any(c, values)
    width = [(c.integer(0, 1), c.integer(0, 1)) for _ in values[ref.index].shape]
    return Step("pad", (ref, width)) if width else None


def _matmul(c, values):
    a = _any(c, values)
    x = values[a.index]
    if x.ndim == 0:
        return None
    columns = [
        Ref(i) for i, y in enumerate(values) if y.ndim in (1, 2) and y.shape[0] == x.shape[-1]
    ]
    if columns and c.flag():
        return Step("matmul", (a, c.pick(columns)))
    return Step("matmul", (a, c.array((x.shape[-1], c.integer(1, 4)), -1.0, 1.0)))


def _layer_norm(c, values):
    ref = _any(c, values)
    x = values[ref.index]
    if x.ndim == 0 or x.shape[-1] < 2 or x.std(-1).min() < GAP:
        return None
    return Step("layer_norm", (ref, x.shape[-1]))


STEPS = (
    *(_unary(name) for name in ("sin", "cos", "tanh", "exp", "sigmoid", "square", "negative")),
    *(_unary(name) for name in ("softplus", "gelu", "silu", "erf", "log_sigmoid", "expm1")),
    *(_unary(name, 0.0) for name in ("abs", "relu", "leaky_relu", "elu")),
    *(_unary(name, low=0.3) for name in ("log", "sqrt", "reciprocal", "log1p")),
    _unary("clip", -1.0, 1.5, min=-1.0, max=1.5),
    *(_binary(name) for name in ("add", "subtract", "multiply", "multiply")),
    *(_binary(name, untied=True) for name in ("maximum", "minimum")),
    *(_binary("divide", low=0.3), _power, _where),
    *(_over_axes(name) for name in ("sum", "mean", "logsumexp")),
    *(_over_axes(name, untied=True) for name in ("max", "min")),
    *(_along_axis("softmax"), _along_axis("log_softmax"), _along_axis("cumsum")),
    *(_reshape, _transpose, _along_axis("flip"), _getitem, _take_along_axis, _pad),
    *(_joined("concatenate"), _joined("stack"), _matmul, _matmul, _layer_norm),
)
