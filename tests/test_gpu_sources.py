"""What can be known of the GPU code without a GPU: it compiles, and CuPy has what it names."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from stand_in.arrays import UFUNCS, ndarray
from stand_in.methods import METHODS
from stand_in.module import CREATION, FUNCTIONS, QUERIES, VIEWS

from minigen.kernels.gpu import launching

cupy = pytest.importorskip("cupy", exc_type=Exception)
PACKAGE = Path(launching.FOLDER).parents[1]
CUDA_FILES = sorted(path.name for path in launching.FOLDER.glob("*.cu"))
GIVES_CUPY = ("cupy", "array_module")  # what these functions return is the module


@pytest.mark.parametrize("capability", ["75", "80", "90"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("file", CUDA_FILES)
def test_every_cuda_file_compiles(file, dtype, capability):
    from cupy.cuda.compiler import _NVRTCProgram  # the public way needs a driver

    pytest.importorskip("nvidia.cuda_nvrtc")
    program = _NVRTCProgram(launching.source(file, np.dtype(dtype)), file)
    code, _ = program.compile((f"-arch=sm_{capability}", *launching.OPTIONS))
    assert code


def names_of_cupy(path):
    """Every a.b.c in a file, for a name or call that is the module of CuPy or may be it."""
    tree = ast.parse(path.read_text())
    modules = {"xp"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and is_cupy_call(node.value):
            modules |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        names = []
        while isinstance(node, ast.Attribute):
            names, node = [node.attr, *names], node.value
        if names and (is_cupy_call(node) or getattr(node, "id", None) in modules):
            yield tuple(names)


def is_cupy_call(node):
    return isinstance(node, ast.Call) and getattr(node.func, "id", None) in GIVES_CUPY


def exists(names):
    found = cupy
    for name in names:
        if not hasattr(found, name):
            return isinstance(found, type)  # the rest is of an object
        found = getattr(found, name)
    return True


def test_every_name_that_is_taken_from_cupy_exists_there():
    named = {name for path in PACKAGE.rglob("*.py") for name in names_of_cupy(path)}
    assert (
        "cuda",
        "is_available",
    ) not in named or named  # a walk that finds nothing checks nothing
    assert len(named) > 40
    assert not [".".join(names) for names in sorted(named) if not exists(names)]


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *VIEWS, *CREATION, *QUERIES, *UFUNCS}))
def test_what_the_stand_in_has_cupy_has(name):
    found = getattr(cupy, name)
    parameters = {**FUNCTIONS, **VIEWS, **CREATION, **QUERIES}.get(name, "").split()
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # compiled without one
        return
    names = list(signature.parameters)
    assert {"args", "kwargs"} & {*names} or names[: len(parameters)] == parameters


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_stand_in_has_cupys_parameters(name):
    said = getattr(cupy.ndarray, name).__doc__.splitlines()[0]
    inside = said[said.index("(") + 1 : said.rindex(")")].split(", ")
    names = [part.partition("=")[0].split()[-1] for part in inside][1:]
    assert names == METHODS[name].split()


def test_the_arrays_of_the_stand_in_have_what_cupys_have_and_no_more():
    own = {"_of", "_wrapping", "__weakref__"}
    extra = {name for name in vars(ndarray).keys() - own if not hasattr(cupy.ndarray, name)}
    assert not extra
