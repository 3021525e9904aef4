"""From a call of an op to the line of NumPy that a person would write there.

    numpy_line(sum.op, [Operand("x", (3, 4), float64)], {"axis": 0, "keepdims": False}, ...)
                                                                              x.sum(axis=0)
An op without a line in the tables is written as its forward: see `inlining.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from minigen.autodiff.primitives import REGISTRY, Op, Primitive
from minigen.study.programs.array_lines import ARRAY_LINES
from minigen.study.programs.expressions import filled, literal, parsed, substituted
from minigen.study.programs.inlining import (
    HELPERS,
    Inlined,
    defaults_of,
    folded,
    helper_name,
    helpers_called,
    inlined,
    uses_of,
)
from minigen.study.programs.line_parts import ShapeAndDtype, converted
from minigen.study.programs.number_lines import NUMBER_LINES
from minigen.study.programs.operands import Operand, Written
from minigen.study.programs.window_lines import WINDOW_LINES

__all__ = ["HELPERS", "helper_names", "numpy_line"]

LINES: dict[Op, Callable] = {
    REGISTRY[name]: line for name, line in {**ARRAY_LINES, **WINDOW_LINES, **NUMBER_LINES}.items()
}
# Ops whose NumPy functions promote their arguments by themselves, to the dtype that is needed or to
# another one, in which case the arguments are converted.
PROMOTE = {
    REGISTRY[name]
    for name in (
        *("add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power"),
        *("maximum", "minimum", "_matmul", "_concatenate", "_mse_loss"),
    )
}


def numpy_line(
    op: Op, args: Sequence[Operand], static: Mapping[str, Any], outputs: Sequence[ShapeAndDtype]
) -> Written:
    """The call of an op as an expression with the op's result, or the results as a sequence.

    Arrays in static are operands too. outputs: the shape and dtype of each result. The names in
    `helpers` are those of all functions in HELPERS that the text needs, in an order in which each
    stands after those that it calls. TypeError for an op of the user's whose forward is not NumPy.
    """
    args = converted(args, op.prepare, op in PROMOTE)
    line = LINES.get(op)
    try:
        written = line(args, static, outputs) if line else _as_forward(op, args, static)
    except TypeError as error:
        raise TypeError(f"source() cannot write op {op.name!r}: {error}") from None
    names = dict.fromkeys(name for helper in written.helpers for name in helpers_called(helper))
    return written._replace(helpers=tuple(names))


def helper_names() -> set[str]:
    """The names of all functions that lines may call: HELPERS has all of them from now on."""
    for op in REGISTRY.values():
        if isinstance(op, Primitive) and op not in LINES:
            with suppress(TypeError):  # an op of the user's that has no line
                if _forward(op, op.signature.static_defaults) is None:
                    helper_name(op.forward)
    return {*HELPERS}


def _as_forward(op: Op, args: Sequence[Operand], static: Mapping[str, Any]) -> Written:
    """The expression that the op's forward is, or the call of a function made from it."""
    if (inner := _forward(op, static)) is not None:
        slots = {name: x.text for name, x in zip(op.signature.arrays, args)}
        return filled(inner.tree, slots, inner.helpers)
    name, defaults = helper_name(op.forward), defaults_of(op.forward)
    named = [f"{k}={literal(x)}" for k, x in static.items() if defaults.get(k, ...) != x]
    slots = {f"x{i}": x.text for i, x in enumerate(args)}
    return filled(f"{name}({', '.join([*slots, *named])})", slots, (name,))


def _forward(op: Op, static: Mapping[str, Any]) -> Inlined | None:
    """The op's forward as an expression of its arrays, if that has each of them once at most."""
    inner = inlined(op.forward)
    if inner is None or op.signature.variadic:
        return None
    trees = {name: parsed(literal(x)) for name, x in static.items()}
    tree = folded(substituted(inner.tree, trees))
    uses = uses_of(tree)
    repeats = any(uses.get(name, 0) > 1 for name in op.signature.arrays)
    return None if repeats else inner._replace(tree=tree)
