"""The types of the public ops: `python tests/op_stubs.py` prints minigen/ops/__init__.pyi.

Type checkers cannot follow the decorators that make an op of its forward. So each public op stands
in a stub file with the arguments of its forward, as two overloads: raw arrays in, raw arrays out;
with a tensor among them, tensors out. test_types.py compares the file with what is printed here.
"""

import ast
from pathlib import Path

from minigen import ops

FOLDER = Path(ops.__file__).parent
HEAD = '''"""The types of the public ops. `python tests/op_stubs.py` writes this file."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
{imports}
Raw = np.ndarray[Any, Any] | np.generic | complex | Sequence[Any]  # Python floats are complex
TensorLike = Tensor | Raw

__all__ = [
{names}
]
'''
WIDTH = 100
KEYWORDS = {"axis": "dim", "keepdims": "keepdim"}  # PyTorch's names of these arguments


def forwards() -> dict[str, tuple[ast.FunctionDef, dict[str, str]]]:
    """By name of a public op: its forward, and the module of each name in its file."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        module = f"minigen.ops.{path.stem}"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        sources = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                sources |= {alias.name: node.module for alias in node.names}
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                sources[node.targets[0].id] = module
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in ops.__all__:
                found[node.name] = (node, sources)
    return found


def written(annotation: ast.expr | None, array: str) -> str:
    """The text of an annotation, with array in place of Array."""

    class Renamed(ast.NodeTransformer):
        def visit_Name(self, node):
            return ast.Name(array if node.id == "Array" else node.id)

    return "Any" if annotation is None else ast.unparse(Renamed().visit(annotation))


def stub(function: ast.FunctionDef, array: str, result: str) -> str:
    """One overload: the public signature, in which keyword-only arguments may be positional."""
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    pairs = [*zip(positional, defaults), *zip(arguments.kwonlyargs, arguments.kw_defaults)]
    names = [argument.arg for argument, _ in pairs]
    texts, optional = [], False
    for argument, default in pairs:
        optional = optional or default is not None or argument.arg == "axis"
        ending = " = ..." if optional else ""
        texts.append(f"{argument.arg}: {written(argument.annotation, array)}{ending}")
    if arguments.vararg is not None:
        texts.insert(len(positional), f"*{arguments.vararg.arg}: {array}")
    elif any(name in names for name in KEYWORDS):
        texts.append("*")
    for argument, _ in pairs:
        if argument.arg in KEYWORDS:
            name = KEYWORDS[argument.arg]
            texts.append(f"{name}: {written(argument.annotation, array)} = ...")
    head, tail = f"def {function.name}(", f") -> {written(function.returns, result)}: ..."
    short = head + ", ".join(texts) + tail
    if len(short) > WIDTH:  # as ruff formats it
        inner = "    " + ", ".join(texts)
        if len(inner) > WIDTH:
            inner = "".join(f"    {text},\n" for text in texts).rstrip("\n")
        short = f"{head}\n{inner}\n{tail}"
    return f"@overload\n{short}\n"


def stubs() -> str:
    """The text of the file."""
    body, imports = [], {"minigen.tensors": {"Tensor"}}
    for _, (function, sources) in sorted(forwards().items()):
        body += [stub(function, "Raw", "Any"), stub(function, "TensorLike", "Tensor")]
        for node in ast.walk(function.args):
            source = sources.get(node.id, "") if isinstance(node, ast.Name) else ""
            if source.startswith("minigen") and node.id != "Array":
                imports.setdefault(source, set()).add(node.id)
    lines = "".join(
        f"from {module} import {', '.join(sorted(names))}\n"
        for module, names in sorted(imports.items())
    )
    names = "\n".join(f'    "{name}",' for name in ops.__all__)
    return HEAD.format(imports="\n" + lines, names=names) + "\n" + "".join(body)


if __name__ == "__main__":
    print(stubs(), end="")
