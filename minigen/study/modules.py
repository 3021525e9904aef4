"""The modules of a run and the names of their tensors."""

import itertools
import keyword
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from minigen.autodiff.graph import Leaf
from minigen.nn.module import Module
from minigen.study.objects import ByIdentity
from minigen.study.steps import Step, Value
from minigen.tensors import Tensor

Names = Mapping[str, Tensor] | Module | None
Path = tuple[int, str]  # the number of an outermost module, and a path in it


class Modules:
    """The outermost modules of a run, in the order of their first call, and the paths in them.

    names: the outermost module, or tensors by name. Paths begin with the number of the outermost
    module, "m0", if there are several, which is not decided before the end: `settle`.
    """

    def __init__(self, names: Names):
        self.num_roots = 0
        self._paths = ByIdentity()  # module -> path
        self._classes: dict[Path, str] = {}  # path -> the name of the module's class
        self._tensors = ByIdentity()  # array, or leaf of a parameter -> path
        self._own_names = ByIdentity()  # array -> the name that the user chose
        self._noted: dict[int, Path] = {}  # number of a value -> path
        self._wishes: dict[int, str] = {}  # number of a value -> the name that the user chose
        self._unnamed = ByIdentity()  # array -> number of a value without a path
        if isinstance(names, Module):
            self.enter([names])
        elif names is not None:
            for name, tensor in _checked(names).items():
                self._own_names[tensor.data] = name

    def __contains__(self, module: Module) -> bool:
        return module in self._paths

    def path_of_module(self, module: Module) -> Path | None:
        """The path of a module, None for one that was not met."""
        return self._paths.get(module)

    def enter(self, running: Sequence[Module]) -> None:
        """Name the contents of modules that call each other, the outermost one first.

        One that another has made while it ran, and does not hold, is named by its class.
        """
        outer = None
        for module in running:
            if module not in self._paths:
                if outer is None:
                    self._name(module, (self.num_roots, ""))
                    self.num_roots += 1
                else:
                    root, path = self._paths.get(outer)
                    self._name(outer, (root, path))  # it may have been assigned meanwhile
                    if module not in self._paths:
                        name = type(module).__name__
                        self._name(module, (root, f"{path}.{name}" if path else name))
            outer = module

    def _name(self, module: Module, path: Path) -> None:
        """Give paths to a module and to what it holds, but for what has one."""
        root, prefix = path
        for inner, part in module.named_modules(prefix):
            if part not in self._paths:
                self._paths[part] = root, inner
                if type(part).forward is not Module.forward:  # not a mere list of modules
                    self._classes.setdefault((root, inner), type(part).__name__)
        for inner, tensor in (*module.named_parameters(prefix), *module.named_buffers(prefix)):
            if (number := self._unnamed.get(tensor.data)) is not None:
                self._noted[number] = root, inner  # used before its module ran
            for key in (tensor.data, tensor.node):
                if key not in self._tensors:
                    self._tensors[key] = root, inner

    def path_of(self, array: Any, vertex: Any = None) -> Path | None:
        """The path of the parameter or buffer with that array, or of the leaf that is vertex."""
        found = self._tensors.get(array)
        return self._tensors.get(vertex) if found is None and type(vertex) is Leaf else found

    def note(self, value: Value, array: Any, vertex: Any) -> None:
        """Remember the path or the name of a new value, if its array has one."""
        path = self.path_of(array, vertex)
        if path is not None:
            self._noted[value.number] = path
        else:
            self._unnamed[array] = value.number
        if (name := self._own_names.get(array)) is not None:
            self._wishes[value.number] = name

    def unmet_names(self) -> list[str]:
        """The names that the user chose for tensors which no op got."""
        met = set(self._wishes.values())
        chosen = (self._own_names.get(array) for array in self._own_names)
        return [name for name in chosen if name not in met]

    def settle(self, steps: Sequence[Step], values: Sequence[Value]) -> None:
        """Give paths to steps and values, and names to the values that no op made."""
        for step in steps:
            if step.location is not None:
                step.module = self._joined(step.location)
        for number, path in self._noted.items():
            if values[number].step is None:
                values[number].path = self._joined(path)
        named = [v for v in values if v.role in ("parameter", "buffer", "data")]
        taken: dict[str, int] = {}
        for value in named:
            wish = self._wishes.get(value.number) or value.path
            value.name = unused(identifier(wish), taken) if wish else None
        numbers = (f"x{i}" for i in itertools.count())
        for value in named:
            value.name = value.name or next(name for name in numbers if name not in taken)

    @property
    def classes(self) -> dict[str, str]:
        """The name of the class of each module that can be called, by its path, at the end."""
        return {self._joined(path): name for path, name in self._classes.items()}

    def _joined(self, path: Path) -> str:
        root, inner = path
        prefix = f"m{root}" if self.num_roots > 1 else ""
        return ".".join(filter(None, (prefix, inner)))


def _checked(names: Any) -> Mapping[str, Tensor]:
    """names; TypeError unless it is a dict from names to tensors."""
    got = "" if isinstance(names, Mapping) else type(names).__name__
    for name, tensor in () if got else names.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            got = f"{type(tensor).__name__} under the name {name!r}"
    if got:
        raise TypeError(
            f"study.record: names is a module, or a dict from names to tensors; got {got}"
        )
    return names


CALLED = ("np", "math", "bool", "slice")  # names that programs use


def identifier(path: str) -> str:
    """A path as a name in a program: "0.weight" is _0_weight."""
    path = unicodedata.normalize("NFKC", path)  # as Python does with names in programs
    name = "".join(c if f"a{c}".isidentifier() else "_" for c in path)
    name = name if name.isidentifier() else f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in CALLED else name


def unused(name: str, taken: dict[str, int]) -> str:
    """The first of name, name_2, name_3, ... that is not in `taken`, to which it is added.

    taken: each name that is taken, and the number that was last tried behind it, 1 at first.
    """
    found = name
    while found in taken:
        taken[name] += 1
        found = f"{name}_{taken[name]}"
    taken[found] = 1
    return found
