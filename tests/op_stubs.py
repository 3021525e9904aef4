"""The types of the public ops and of PyTorch's names for them: `python tests/op_stubs.py`.

Type checkers cannot follow the decorators that make an op of its forward. So each public function
of `minigen/ops/` stands in a stub file with the arguments of its forward, as two overloads: raw
arrays in, raw arrays out; with a tensor among them, tensors out. This script writes the files, and
test_types.py compares them with what it would write.
"""

import ast
from pathlib import Path

from minigen import ops
from minigen.ops import parts, synonyms

FOLDER = Path(ops.__file__).parent
HEAD = '''"""The types of {subject}. `python tests/op_stubs.py` writes this file."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
{imports}
Raw = np.ndarray[Any, Any] | np.generic | complex | Sequence[Any]  # Python floats are complex
TensorLike = Tensor | Raw
'''
SUBJECTS = {
    "__init__": "the public ops",
    "parts": "parts of arrays",
    "synonyms": "PyTorch's names of ops",
}
WIDTH = 100
KEYWORDS = {"axis": "dim", "keepdims": "keepdim"}  # PyTorch's names of these arguments


def functions_of(path: Path) -> dict[str, tuple[ast.FunctionDef, dict[str, str]]]:
    """The functions of a file by name, each with the modules of the names that the file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    sources = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            sources |= {alias.name: node.module for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            sources[node.targets[0].id] = f"minigen.ops.{path.stem}"
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name: (node, sources) for name, node in found.items() if not name.startswith("_")}


def public_functions(stem: str) -> dict[str, tuple[ast.FunctionDef, dict[str, str]]]:
    """What the stub of a file declares; that of __init__ declares the ops of all files."""
    if stem != "__init__":
        return functions_of(FOLDER / f"{stem}.py")
    every = {}
    for path in FOLDER.glob("*.py"):
        every |= functions_of(path)
    return {name: every[name] for name in ops.__all__}


def other_names(stem: str) -> dict[str, str]:
    """The op of each name that is only another name of an op, such as cat of concatenate."""
    module = {"parts": parts, "synonyms": synonyms}.get(stem)
    found = {}
    for target in ast.parse((FOLDER / f"{stem}.py").read_text(encoding="utf-8")).body:
        if module is None or not isinstance(target, ast.Assign):
            continue
        for name in ast.walk(ast.Module(target.targets, [])):
            op = getattr(getattr(module, getattr(name, "id", ""), None), "__name__", None)
            if isinstance(name, ast.Name) and op in ops.__all__:
                found[name.id] = op
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


def stubs(stem: str) -> str:
    """The text of the stub of a file."""
    body, imports = [], {"minigen.tensors": {"Tensor"}}
    for _, (function, sources) in sorted(public_functions(stem).items()):
        body += [stub(function, "Raw", "Any"), stub(function, "TensorLike", "Tensor")]
        for node in ast.walk(function.args):
            source = sources.get(node.id, "") if isinstance(node, ast.Name) else ""
            if source.startswith("minigen") and node.id != "Array":
                imports.setdefault(source, set()).add(node.id)
    lines = "".join(
        f"from {module} import {', '.join(sorted(names))}\n"
        for module, names in sorted(imports.items())
    )
    text = HEAD.format(subject=SUBJECTS[stem], imports="\n" + lines)
    if stem == "__init__":
        text += (
            "\n__all__ = [  # noqa: RUF022\n"
            + "".join(f'    "{name}",\n' for name in ops.__all__)
            + "]\n"
        )
    if aliases := other_names(stem):
        text = text.replace(
            "import numpy as np\n\n", "import numpy as np\n\nfrom minigen import ops\n"
        )
        text += "\n" + "".join(f"{name} = ops.{op}\n" for name, op in sorted(aliases.items()))
    return text + "\n" + "".join(body)


def write() -> None:
    """Write all stub files."""
    for stem in SUBJECTS:
        (FOLDER / f"{stem}.pyi").write_text(stubs(stem), encoding="utf-8")


if __name__ == "__main__":
    write()
