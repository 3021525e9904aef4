"""The source text of derivative rules and of forwards."""

import ast
import inspect
import linecache
from collections.abc import Callable
from functools import cache

from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY, Op, Primitive


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
    """The text of the rules of the wanted arguments, each once, and of the ops that they rest on.

    Of a fused op it begins with the definition, which has the same derivative as the backward that
    ran; without a backward, or under create_graph, it is the definition alone.
    """
    return _rules_text(op, tuple(map(bool, wanted)), create_graph)


@cache
def _rules_text(op: Op, wanted: tuple, create_graph: bool) -> str:
    if isinstance(op, Fused):
        parts = [text_of(op.definition)]
        if op.backward is not None and not create_graph:
            inner = getattr(op.definition, "op", None)  # a definition that is an op has rules
            if isinstance(inner, Primitive):
                parts += [_of_rules(inner, wanted, create_graph)]
            parts += ["# the same, faster\n" + text_of(op.backward)]
        return "\n\n".join(filter(None, parts))
    return _of_rules(op, wanted, create_graph)


def _of_rules(op: Op, wanted: tuple, create_graph: bool) -> str:
    rules = [op.rule(i, create_graph) for i, w in enumerate(wanted) if w]
    texts = [*dict.fromkeys(filter(None, map(text_of, rules)))]
    inner = dict.fromkeys(x for rule in rules for x in _inner_ops(rule))
    return "\n\n".join(filter(None, ["\n".join(texts), *map(_explained, inner)]))


def _inner_ops(rule: Callable | None) -> list[Op]:
    """The ops without a public name that a rule calls, as `_relu_vjp`."""
    if rule is None:
        return []
    names = getattr(inspect.unwrap(rule), "__code__", None)
    found = [REGISTRY[name] for name in getattr(names, "co_names", ()) if name in REGISTRY]
    return [op for op in found if op.forward.__name__.startswith("_")]


def _explained(op: Op) -> str:
    """The text of what an inner op computes; "" where it is a call of a kernel alone."""
    if isinstance(op, Fused):
        definition = text_of(op.definition)
        is_lambda = definition.startswith("lambda")
        return f"{op.forward.__name__} = {definition}" if is_lambda else definition
    return text_of(op.forward) if op.forward.__doc__ else ""


@cache
def residual_names(op: Op | None) -> tuple[str, ...]:
    """What the backward of a fused op calls the values that its forward keeps: ("lse", ...)."""
    backward = getattr(op, "backward", None)
    text = text_of(backward)
    if not text.startswith("def "):
        return ()
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    name = function.args.args[1].arg
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            target = node.targets[0]
            if node.value.id == name and isinstance(target, ast.Tuple):
                return tuple(ast.unparse(x) for x in target.elts)
    return (name,)
