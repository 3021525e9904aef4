"""Expressions of Python as text: arguments put into a template, with brackets where needed.

filled("x @ w.T", {"x": "a + b", "w": "weight"})        (a + b) @ weight.T
"""

import ast
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from minigen.study.programs.operands import Operand, Written


@lru_cache(4096)
def parsed(text: str) -> ast.expr:
    """The tree of an expression. It is shared: callers do not write to it."""
    return ast.parse(text, mode="eval").body


class _Filler(ast.NodeTransformer):
    """Puts trees in place of names."""

    def __init__(self, trees: Mapping[str, ast.expr]):
        self.trees = trees

    def visit_Name(self, node):
        return self.trees.get(node.id, node)


def copied(tree: ast.AST) -> Any:
    """A copy of a tree whose nodes can be replaced; what is not a node is shared."""
    fields = {}
    for name, value in ast.iter_fields(tree):
        if isinstance(value, list):
            value = [copied(part) if isinstance(part, ast.AST) else part for part in value]
        fields[name] = copied(value) if isinstance(value, ast.AST) else value
    return type(tree)(**fields)


def substituted(tree: ast.AST, trees: Mapping[str, ast.expr]) -> Any:
    """A copy of the tree with other trees in place of names."""
    return _Filler(trees).visit(copied(tree))


def text_of(tree: ast.AST) -> str:
    """The source text of a tree, with double quotes around its short texts."""
    return re.sub(r"'([\w,>.-]*)'", r'"\1"', ast.unparse(ast.fix_missing_locations(tree)))


def filled(template: str | ast.expr, slots: Mapping[str, str], helpers=()) -> Written:
    """The template with the expressions in slots in place of the names that are their keys."""
    tree = parsed(template) if isinstance(template, str) else template
    tree = substituted(tree, {name: parsed(text) for name, text in slots.items()})
    return Written(text_of(tree), tuple(helpers))


def literal(value: Any) -> str:
    """A static argument as an expression: numbers, dtypes, nests of them, slices, operands."""
    if isinstance(value, Operand):
        return value.text
    if isinstance(value, tuple | list):
        inner = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, slice):
        return f"slice({literal(value.start)}, {literal(value.stop)}, {literal(value.step)})"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.dtype):
        return "bool" if value == np.bool_ else f"np.{value.name}"
    if isinstance(value, float) and not math.isfinite(value):
        return "np.nan" if value != value else "np.inf" if value > 0 else "-np.inf"
    if value is Ellipsis:
        return "..."
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise TypeError(
        f"a program has no text for a setting of type {type(value).__name__}; take numbers, "
        "strings or arrays"
    )


def subscript(index: Any) -> str:
    """What stands in the brackets of x[...] for a NumPy index."""
    return ", ".join(map(_part, index_parts(index))) or "()"


def index_parts(index: Any) -> tuple:
    """The parts of an index, which is a tuple of them or one alone."""
    return index if type(index) is tuple else (index,)


def _part(part: Any) -> str:
    if not isinstance(part, slice):
        return literal(part)
    start, stop, step = (
        "" if x is None else literal(x) for x in (part.start, part.stop, part.step)
    )
    return f"{start}:{stop}:{step}" if step and step != "1" else f"{start}:{stop}"
