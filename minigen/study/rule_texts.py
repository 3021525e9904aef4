"""The source text of derivative rules and of forwards."""

import ast
import inspect
import linecache
from collections.abc import Callable
from functools import cache

from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import Op


def text_of(function: Callable | None) -> str:
    """The source text of a function or lambda, without decorators; "" if it cannot be read."""
    if function is None:
        return ""
    while hasattr(function, "__wrapped__"):  # `elementwise` wraps rules, to sum what they return
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    return "" if code is None else _text(code, code.co_filename)


@cache
def _text(code, filename: str) -> str:  # code of two files may be equal
    lines = linecache.getlines(filename)
    tree = _parsed(filename, "".join(lines))
    if tree is None:
        return ""
    kind = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef
    found = [node for node in ast.walk(tree) if isinstance(node, kind) and _is_of(node, code)]
    if not found:
        return ""
    node = found[-1]  # the innermost: `ast.walk` comes to a lambda before those in its body
    if kind is ast.FunctionDef:
        return inspect.cleandoc("\n" + "".join(lines[node.lineno - 1 : node.end_lineno]))
    return ast.get_source_segment("".join(lines), node) or ""


@cache
def _parsed(filename: str, text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):  # of a notebook's cell, %magic
        return None


def _is_of(node, code) -> bool:
    """Whether the code was compiled from the node: for lambdas, by the columns of their bodies."""
    if isinstance(node, ast.FunctionDef):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        return node.name == code.co_name and code.co_firstlineno == first
    body = node.body
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    found = [
        (line, column)
        for line, _, column, _ in code.co_positions()
        if line is not None and column is not None and (line, column) != (node.lineno, 0)
    ]
    return bool(found) and all(begin <= position < end for position in found)


def rules_text(op: Op, wanted: list, create_graph: bool) -> str:
    """The text of the rules of the wanted arguments, each once.

    A fused op without a backward, or under create_graph, is differentiated by its definition.
    """
    if isinstance(op, Fused) and (create_graph or op.backward is None):
        return text_of(op.definition)
    rules = [op.rule(i, create_graph) for i, w in enumerate(wanted) if w]
    return "\n".join(dict.fromkeys(text for text in map(text_of, rules) if text))
