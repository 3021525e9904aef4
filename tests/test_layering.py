"""The structure of the package, read from its source with ast."""

import ast
from pathlib import Path

import pytest
from house import FILES, PACKAGE, ROOMS, drawn_map

ROOT = PACKAGE.parent
LAYERS = [room.rstrip("/") for room in ROOMS]
SOURCES = sorted(PACKAGE.rglob("*.py"))
ALL_FILES = sorted(
    path
    for folder in ("minigen", "examples", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*.py")
)

ONLY = {  # what these may import of the package besides their own folder, whatever the order
    "parallel": {"errors"},
    "autodiff.graph": {"errors"},
    "autodiff.walk": {"errors"},
    "autodiff": {"errors", "variables", "parallel", "backend"},
    "backend": {"errors"},
    "figures": {"errors", "backend"},
    "data": {"errors", "backend", "communication", "random"},
}
HEAVY = {"numba", "cupy", "cupyx", "hypothesis", "matplotlib", "mpi4py", "safetensors", "tqdm"}
HEAVY |= {"scipy"}
MAY_IMPORT_CUPY = {"backend/arrays.py"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(tree: ast.AST):
    """(module, node) for each import of the package, as a dotted name without "minigen"."""
    modules = {name_of(path) for path in SOURCES}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minigen":
            base = node.module.partition(".")[2]
            for alias in node.names:
                inner = f"{base}.{alias.name}".strip(".")
                yield (inner if inner in modules else base), node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "minigen":
                    yield alias.name.partition(".")[2], node


def inside_functions(tree: ast.AST) -> set[int]:
    """The ids of all nodes that stand inside a function."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.Lambda)]
    return {id(node) for function in functions for node in ast.walk(function)}


@pytest.fixture(scope="module", params=SOURCES, ids=name_of)
def source(request):
    return request.param, ast.parse(request.param.read_text())


def test_every_module_has_its_place_in_the_plan():
    assert {name_of(path).split(".")[0] for path in SOURCES} - {""} == set(LAYERS)
    for room in ROOMS:
        assert (
            (PACKAGE / room).is_dir() if room.endswith("/") else (PACKAGE / f"{room}.py").exists()
        )
    for folder, files in FILES.items():
        path = PACKAGE / folder.replace(".", "/")
        there = {child.stem for child in path.glob("*.py")}
        there |= {child.parent.name for child in path.glob("*/__init__.py")}
        assert there == {*files, "__init__"}, folder


def test_the_map_of_the_house_is_the_plan():
    print(drawn_map())
    assert drawn_map() in (PACKAGE / "README.md").read_text(), "copy the output of tests/house.py"


def test_a_module_imports_only_from_rooms_above(source):
    path, tree = source
    me = name_of(path)
    folder, _, mine = me.rpartition(".")
    top = me.partition(".")[0]
    for other, _ in imports(tree):
        theirs = other.partition(".")[0]
        if theirs != top and me:
            assert theirs in LAYERS, f"{me} imports {other or 'the package itself'}"
            assert LAYERS.index(theirs) < LAYERS.index(top), f"{me} imports {other}"
            only = ONLY.get(me, ONLY.get(top, set(LAYERS)))
            assert theirs in only, f"{me} imports {other}"
        if folder in FILES and other.rpartition(".")[0] == folder and mine in FILES[folder]:
            files = FILES[folder]
            other_file = other.rpartition(".")[2]
            assert files.index(other_file) < files.index(mine), f"{me} imports {other}"


def test_no_import_cycle():
    modules = {name_of(path): ast.parse(path.read_text()) for path in SOURCES}
    edges = {m: {o for o, _ in imports(tree) if o != m} for m, tree in modules.items() if m}
    state: dict[str, int] = {}

    def visit(module, path):
        assert state.get(module) != 1, " -> ".join([*path, module])
        if module not in state:
            state[module] = 1
            for other in sorted(edges.get(module, ())):
                visit(other, [*path, module])
            state[module] = 2

    for module in edges:
        visit(module, [])


def test_imports_in_functions_are_of_heavy_packages_or_kernel_variants(source):
    path, tree = source
    inner = inside_functions(tree)
    for other, node in imports(tree):
        if id(node) in inner:
            assert other.startswith("kernels"), f"{path}:{node.lineno} hides an import of {other}"
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            package = name.split(".")[0]
            at_top = id(node) not in inner
            lazy_file = name_of(path).startswith(("kernels.", "testing."))
            assert not (package in HEAVY and at_top and not lazy_file), f"{path}: {name} at import"


def test_cupy_is_imported_in_two_places_only(source):
    path, tree = source
    if str(path.relative_to(PACKAGE)) in MAY_IMPORT_CUPY:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] in ("cupy", "cupyx") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in ("cupy", "cupyx")


def test_torch_is_never_imported(source):
    path, _ = source
    assert "import torch" not in path.read_text()


def test_rules_speak_only_the_librarys_own_language(source):
    """No np. or xp. inside a derivative rule: it could not be differentiated again."""
    path, tree = source
    if not name_of(path).startswith("ops."):
        return
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            continue
        if call.func.id not in ("primitive", "elementwise"):
            continue
        for rule in call.args:
            body = functions.get(rule.id) if isinstance(rule, ast.Name) else rule
            if isinstance(body, ast.Lambda | ast.FunctionDef):
                used = {n.id for n in ast.walk(body) if isinstance(n, ast.Name)}
                assert not used & {"np", "xp", "kernels"}, f"{path}:{rule.lineno}"


def test_no_magic(source):
    path, tree = source
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            assert isinstance(node.body[-1], ast.Raise), f"{path}: __getattr__ may only raise"
        if isinstance(node, ast.ClassDef):
            assert not any(k.arg == "metaclass" for k in node.keywords), path
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("globals", "exec", "eval"), path
    assert "import pickle" not in path.read_text()


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short_and_narrow(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines), default=0) <= 100


def test_no_module_bears_the_name_of_a_public_attribute_of_its_package():
    import minigen as mg
    from minigen import data, models, nn, ops

    for package in (mg, ops, nn, data, models):
        folder = Path(package.__file__).parent
        for path in folder.glob("*.py"):
            if hasattr(package, path.stem) and not path.stem.startswith("_"):
                value = getattr(package, path.stem)
                assert type(value).__name__ == "module", f"{path} is hidden by {value}"
