"""The modules of a run and the names of their tensors."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from minigen.nn.module import Module
from minigen.study.steps import Step, Value
from minigen.tensors import Tensor

Names = Mapping[str, Tensor] | Module | None
Path = tuple[int, str]  # the number of an outermost module, and a path in it


class Modules:
    """The outermost modules of a run, in the order of their first call, and the paths in them.

    names: the outermost module, or tensors by name. Paths begin with the number of the outermost
    module, "m0", if there are several, which is known at the end: `finish`.
    """

    def __init__(self, names: Names):
        self.roots: list[Module] = []
        self.own_names: dict[int, str] = {}  # id of an array -> the name that the user chose
        self._modules: dict[int, tuple[Path, str]] = {}  # id of a module -> path, name of its class
        self._tensors: dict[int, Path] = {}  # id of an array -> path
        self._held: list[Any] = []  # what has the ids above, so that nothing else gets one
        self._noted: dict[int, Path] = {}  # number of a value -> path
        if isinstance(names, Module):
            self.enter(names)
        elif names is not None:
            for name, tensor in names.items():
                self.own_names[id(tensor.data)] = name
                self._held.append(tensor.data)

    def enter(self, module: Module) -> None:
        """Name the contents of an outermost module, unless it is in one that is known."""
        if id(module) in self._modules:
            return
        root = len(self.roots)
        self.roots.append(module)
        for path, child in module.named_modules():
            self._modules.setdefault(id(child), ((root, path), type(child).__name__))
        for path, tensor in (*module.named_parameters(), *module.named_buffers()):
            self._tensors.setdefault(id(tensor.data), (root, path))
            self._held.append(tensor.data)

    def location(self, module: Module) -> tuple[Path, str]:
        """(the path of a module, the name of its class)."""
        self.enter(module)
        return self._modules[id(module)]

    def path_of(self, array: Any) -> Path | None:
        """The path of the parameter or buffer with that array."""
        return self._tensors.get(id(array))

    def note(self, value: Value, array: Any) -> None:
        """Remember the path or the name of a new value, if its array has one."""
        if id(array) in self._tensors:
            self._noted[value.number] = self._tensors[id(array)]
        value.name = self.own_names.get(id(array))

    def finish(self, steps: Sequence[Step], values: Sequence[Value]) -> None:
        """Give paths to steps and values, and names to the values that no op made."""
        for step in steps:
            if isinstance(step.module, tuple):
                step.module = self._joined(step.module)
        for number, path in self._noted.items():
            if values[number].step is None:
                values[number].path = self._joined(path)
        taken: set[str] = set()
        numbers = itertools.count()
        for value in values:
            if value.role in ("parameter", "buffer", "data"):
                wish = value.name or value.path
                name = identifier(wish) if wish else f"x{next(numbers)}"
                value.name = unused(name, taken)
            else:
                value.name = None

    def _joined(self, path: Path) -> str:
        root, inner = path
        prefix = f"m{root}" if len(self.roots) > 1 else ""
        return ".".join(filter(None, (prefix, inner)))


def identifier(path: str) -> str:
    """A path as a name in a program: "0.weight" is _0_weight."""
    name = re.sub(r"\W", "_", path)
    return f"_{name}" if name[:1].isdigit() else name


def unused(name: str, taken: set[str]) -> str:
    """The name, with _2, _3, ... behind it if it is taken; now it is."""
    choices = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
    found = next(choice for choice in choices if choice not in taken)
    taken.add(found)
    return found
