"""From the source of an op's forward to an expression, or to a function that a program defines.

A function that is one expression is put in place of its call: `kernels.relu(x)` is
`np.maximum(x, 0)`. If it is longer, or uses an argument twice, the program defines it, without
whatever is not NumPy: `helper_name` adds it to HELPERS.
"""

import ast
import builtins
import inspect
import math
import textwrap
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigen import kernels
from minigen.autodiff.primitives import Op
from minigen.kernels import reference
from minigen.study.programs import plain_functions
from minigen.study.programs.expressions import literal, parsed, substituted, text_of

# The functions that programs define, by name. `helper_name` adds to them, as a cache does.
HELPERS: dict[str, str] = {
    name: inspect.getsource(function)
    for name, function in vars(plain_functions).items()
    if inspect.isfunction(function)
}
# Functions of the engine for which `plain_functions` has another one.
PLAIN = {reference.erf: "erf"}
# Names of functions in programs where the own name is that of another function, too.
RENAMED = {reference.softplus: "log1pexp"}
MODULES = {np: "np", math: "math"}
OPERATORS = {
    "add": "a + b",
    "subtract": "a - b",
    "multiply": "a * b",
    "divide": "a / b",
    "floor_divide": "a // b",
    "remainder": "a % b",
    "negative": "-a",
    "square": "a ** 2",
    "reciprocal": "1 / a",
    "invert": "~a",
    "bitwise_and": "a & b",
    "bitwise_or": "a | b",
    "bitwise_xor": "a ^ b",
    "equal": "a == b",
    "not_equal": "a != b",
    "less": "a < b",
    "less_equal": "a <= b",
    "greater": "a > b",
    "greater_equal": "a >= b",
}
SCOPES = ast.Lambda, ast.comprehension, ast.NamedExpr  # they have names of their own
_sources: dict[str, Any] = {}  # name of a helper -> the function that it was made from


class Inlined(NamedTuple):
    """A function as an expression of its parameters, and the helpers that the expression calls."""

    tree: ast.expr
    parameters: tuple[str, ...]
    helpers: tuple[str, ...]


class _Resolver(ast.NodeTransformer):
    """Puts NumPy, or calls of helpers, in place of what a function finds in its module."""

    def __init__(self, function: Callable, local_names: set[str]):
        self.scope = inspect.getclosurevars(function)
        self.local_names, self.helpers = local_names, []

    def value(self, name: str) -> Any:
        """What a name means outside the function; None for a local name."""
        if name in self.local_names:
            return None
        for scope in (self.scope.nonlocals, self.scope.globals, vars(builtins)):
            if name in scope:
                return scope[name]
        return None

    def visit_Name(self, node):
        value = self.value(node.id)
        if value is None or vars(builtins).get(node.id) is value:
            return node
        if isinstance(value, ModuleType):
            return ast.Name(_module_name(value), ast.Load())
        if isinstance(value, frozenset):
            names = sorted(kind.__name__ for kind in value)
            return parsed(f"({', '.join(names)})")
        if callable(value) and not isinstance(value, np.dtype):
            return ast.Name(self.helper(_plain(value)), ast.Load())
        try:
            return parsed(literal(value))
        except TypeError:
            raise TypeError(
                f"it reads {node.id}, which is of type {type(value).__name__}: make it an argument "
                "of the op"
            ) from None

    def visit_Call(self, node):
        function = self.function_called(node.func)
        args = [self.visit(x) for x in node.args]
        named = {k.arg: self.visit(k.value) for k in node.keywords}
        if function is None:
            call = ast.Call(self.visit(node.func), args, _keywords(named))
            return _as_operator(call)
        if function.__name__ == "array_module":
            return ast.Name("np", ast.Load())
        return self.expanded(function, args, named)

    def function_called(self, tree: ast.expr) -> Callable | None:
        """The function of the engine that a call is for; None for those of NumPy and Python."""
        found = None
        if isinstance(tree, ast.Name):
            found = self.value(tree.id)
        elif isinstance(tree, ast.Attribute) and self.is_kernels(tree.value):
            return getattr(reference, tree.attr)
        return _plain(found) if hasattr(found, "__globals__") else None

    def is_kernels(self, tree: ast.expr) -> bool:
        """Whether an expression is the name of the module of kernels."""
        return isinstance(tree, ast.Name) and self.value(tree.id) is kernels

    def expanded(self, function, args, named) -> ast.expr:
        """The call of a function, or the expression that it is."""
        if (inner := inlined(function)) is not None:
            bound = inspect.signature(function).bind(*args, **named)
            trees = dict(bound.arguments)
            for name, default in defaults_of(function).items():
                trees.setdefault(name, parsed(literal(default)))
            uses = uses_of(inner.tree)
            again = [tree for name, tree in trees.items() if uses.get(name, 0) > 1]
            if all(isinstance(tree, ast.Constant) for tree in again):
                self.helpers.extend(inner.helpers)
                return folded(substituted(inner.tree, trees))
        name = self.helper(function)
        return ast.Call(ast.Name(name, ast.Load()), args, _keywords(named))

    def helper(self, function) -> str:
        name = helper_name(function)
        self.helpers.append(name)
        return name


def _module_name(module: ModuleType) -> str:
    if module not in MODULES:
        raise TypeError(
            f"a program imports numpy and math alone, and not {module.__name__}: write the op with "
            "functions of these"
        )
    return MODULES[module]


def _keywords(named):
    return [ast.keyword(name, tree) for name, tree in named.items()]


def _plain(function: Any) -> Any:
    """The function itself, without the op or the cache around it."""
    op = getattr(function, "op", None)
    return op.forward if isinstance(op, Op) else inspect.unwrap(function)


def _as_operator(call: ast.Call) -> ast.expr:
    """np.add(a, b) as a + b."""
    is_numpy = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "np"
    template = OPERATORS.get(call.func.attr) if is_numpy else None
    if template is None or call.keywords:
        return call
    return substituted(parsed(template), dict(zip("ab", call.args)))


def folded(tree: ast.AST) -> Any:
    """The tree with `a if condition else b` decided where the condition is a number."""
    return _Folder().visit(tree)


class _Folder(ast.NodeTransformer):
    def visit_IfExp(self, node):
        node = self.generic_visit(node)
        if not isinstance(node.test, ast.Constant):
            return node
        return node.body if node.test.value else node.orelse


def uses_of(tree: ast.AST) -> dict[str, int]:
    """How often each name occurs."""
    uses: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            uses[node.id] = uses.get(node.id, 0) + 1
    return uses


def defaults_of(function: Callable) -> dict[str, Any]:
    """The default values of its parameters."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _definition(function: Callable) -> ast.FunctionDef:
    """The tree of a function; TypeError if it has no source, as one that was typed in has not."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, SyntaxError):
        tree = None
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(
            f"the source of {getattr(function, '__name__', function)} cannot be read: define it by "
            "def in a file or in a notebook's cell"
        )
    return tree


@cache
def inlined(function: Callable) -> Inlined | None:
    """A function of the engine as an expression; None if its body is more than one."""
    tree = _definition(function)
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    if function in PLAIN or len(body) != 1 or not isinstance(body[0], ast.Return):
        return None
    if any(isinstance(node, SCOPES) for node in ast.walk(body[0])):
        return None
    parameters = tuple(inspect.signature(function).parameters)
    resolver = _Resolver(function, set(parameters))
    return Inlined(resolver.visit(body[0].value), parameters, tuple(resolver.helpers))


@cache
def helper_name(function: Callable) -> str:
    """The name in HELPERS of a function of the engine, which is added there."""
    if function in PLAIN:
        return PLAIN[function]
    name = base = RENAMED.get(function, function.__name__.strip("_"))
    number = 1
    while name in HELPERS and _sources.get(name) is not function:
        number += 1
        name = f"{base}_{number}"
    HELPERS[name], _sources[name] = "", function
    HELPERS[name] = _as_helper(function, name)
    return name


def _as_helper(function: Callable, name: str) -> str:
    """The source of a function, with NumPy in place of what it finds in its module."""
    tree = _definition(function)
    parameters = inspect.signature(function).parameters.values()
    tree.name, tree.decorator_list, tree.returns = name, [], None
    local_names = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    } | {p.name for p in parameters}
    arguments = tree.args
    for x in (*arguments.args, *arguments.kwonlyargs):
        x.annotation = None
    doc = ast.get_docstring(tree)
    body = tree.body[1:] if doc else tree.body
    resolver = _Resolver(function, local_names)
    tree.body = [resolver.visit(part) for part in body]
    first = " ".join((doc or "").split("\n\n")[0].split())
    if first and "kernels" not in first and "`" not in first:
        tree.body.insert(0, ast.Expr(ast.Constant(first)))
    return text_of(tree)


def helpers_called(name: str) -> list[str]:
    """The helper and all that it calls, each after those that it calls."""
    order: list[str] = []

    def visit(name):
        if name not in order:
            tree = ast.parse(HELPERS[name])
            called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            for other in sorted(called & HELPERS.keys() - {name}):
                visit(other)
            order.append(name)

    visit(name)
    return order
