"""The language of the code: every kernel says what it computes, and no private dialect."""

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minigen"
KERNELS = sorted((PACKAGE / "kernels").rglob("*.py"))
CUDA = sorted((PACKAGE / "kernels/gpu").glob("*.cu*"))
PROSE = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.cu*"), *(ROOT / "examples").glob("*.py")])
PAGES = sorted({*ROOT.glob("*.md"), *PACKAGE.rglob("*.md"), *ROOT.glob("*/README.md")})

# Names that say nothing to a reader of the field, or several things: see what they became with
# `git log -S NAME`.
NAMES = {
    *("PAUSE", "ANYWHERE", "attended", "_beside", "place", "places", "known", "level", "loud"),
    *("heard", "of_past", "of_future", "sides", "given", "crew", "Crew"),
}
DIALECT = re.compile(
    r"\bso many\b(?! \w+ as\b)|\bof these alone\b|\bwhatever stands\b|\bthat which\b"
    r"|\bis given back\b|\bwho\b(?! (?:change|have|know|learn|read|run|study|use|want|write)s?\b)",
    re.IGNORECASE,
)


def functions(tree: ast.AST):
    """The functions of a module and the methods of its classes; not those inside functions."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node)
        elif isinstance(node, ast.FunctionDef):
            yield node


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_function_of_kernels_says_what_it_computes(path):
    silent = [
        node.name
        for node in functions(ast.parse(path.read_text()))
        if not ast.get_docstring(node) and node.name != "__init__"
    ]
    assert not silent


@pytest.mark.parametrize("path", CUDA, ids=lambda p: p.name)
def test_every_cuda_function_has_a_line_above_it(path):
    lines, silent = path.read_text().splitlines(), []
    for i, line in enumerate(lines):
        if re.match(r"(KERNEL|(static |inline )*__device__) ", line) and "(" in line:
            above = lines[i - 1] if not lines[i - 1].startswith("template") else lines[i - 2]
            if not above.startswith("//"):
                silent.append(line)
    assert not silent


def identifiers(path: Path) -> set[str]:
    """The names that a Python file defines or uses."""
    with tokenize.open(path) as file:
        return {t.string for t in tokenize.generate_tokens(file.readline) if t.type == 1}


@pytest.mark.parametrize("path", PROSE, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_are_the_fields(path):
    if path.suffix == ".py":
        assert not identifiers(path) & NAMES
    else:
        assert not set(re.findall(r"\w+", re.sub(r"//.*", "", path.read_text()))) & NAMES


@pytest.mark.parametrize("path", [*PROSE, *PAGES], ids=lambda p: str(p.relative_to(ROOT)))
def test_sentences_have_a_subject(path):
    assert not DIALECT.findall(" ".join(path.read_text().split()))
