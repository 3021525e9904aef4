"""What type checkers and `help` read: the stubs of the ops, and the names of each room."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest
from op_stubs import FOLDER, SUBJECTS, stubs


@pytest.mark.parametrize("stem", SUBJECTS)
def test_the_stubs_of_the_ops_are_those_of_the_ops(stem):
    written = (FOLDER / f"{stem}.pyi").read_text(encoding="utf-8")
    assert written == stubs(stem), "run: python tests/op_stubs.py"


ROOMS = ("minigen", *(f"minigen.{name}" for name in ["data", "figures", "models", "nn", "optim"]))
ROOMS += ("minigen.nn.utils", "minigen.testing", "minigen.training")


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_lists_the_names_that_it_imports(name):
    room = import_module(name)
    tree = ast.parse(Path(room.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    public = {each for each in imported if not each.startswith("_")} - {"*"}
    assert public <= set(room.__all__)
    assert all(hasattr(room, each) for each in room.__all__)


def functions(room):
    """(name, function) of the public functions of a room, and of the methods of its classes."""
    for name in room.__all__:
        found = getattr(room, name)
        if inspect.isclass(found):
            for key, method in vars(found).items():
                method = getattr(method, "__func__", method)
                # The method of a base class says the types of one that overrides it.
                inherited = any(hasattr(base, key) for base in found.__mro__[1:-1])
                own = key == "__init__" or (key[0] != "_" and not inherited)
                if inspect.isfunction(method) and own:
                    yield f"{name}.{key}", method
        elif inspect.isfunction(found):
            yield name, found


@pytest.mark.parametrize("name", ROOMS)
def test_public_functions_say_the_types_of_their_arguments_and_results(name):
    untyped = []
    for label, function in functions(import_module(name)):
        if hasattr(function, "op") or not function.__module__.startswith("minigen"):
            continue  # the stubs have the types of ops
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
        has_result = signature.return_annotation is not signature.empty
        if any(p.annotation is p.empty for p in parameters) or not (
            has_result or (function.__name__ == "__init__" and parameters)
        ):
            untyped.append(label)
    assert not untyped
