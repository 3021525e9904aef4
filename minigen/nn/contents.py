"""What a module holds in its attributes, by name: submodules, parameters and buffers.

They are found in lists, tuples and dicts too, at each call: a list may grow after its assignment.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from minigen.autodiff.graph import Leaf
from minigen.autodiff.left_out import missing
from minigen.tensors import Tensor


def is_parameter(x: Any) -> bool:
    """Whether x is a leaf of the graph; one that was frozen stays a parameter."""
    return isinstance(x, Tensor) and type(x.node) is Leaf


def found_in(name: str, value: Any, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """(path, part) of value, or of the parts of lists, tuples and dicts, for which wanted is True.

    The path of the part value["a"][0] is "name.a.0".
    """
    if wanted(value):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from found_in(f"{name}.{i}", part, wanted)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from found_in(f"{name}.{key}", part, wanted)


_REGISTRIES = ("_parameters", "_buffers")  # dicts from names to settings

NamedModules = Iterator[tuple[str, Any]]
NamedTensors = Iterator[tuple[str, Tensor]]


class Parameters(list[Tensor]):
    """A list of parameters, from which `next` takes one after the other, as from an iterator."""

    _taken: Iterator[Tensor] | None = None

    def __next__(self) -> Tensor:
        if self._taken is None:
            self._taken = iter(self)
        return next(self._taken)


class LoadedKeys(NamedTuple):
    """What load_state_dict(strict=False) left out: names that are missing, names without use."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Contents:
    """The base of `Module` with the methods that find what it holds."""

    if not TYPE_CHECKING:  # for type checkers it would make any name an attribute

        def __getattr__(self, name):
            raise AttributeError(missing("Module", name, type(self).__name__))

    def named_children(self) -> NamedModules:
        """(name, module) of the direct submodules, also of those in lists, tuples and dicts."""
        for name, value in list(vars(self).items()):
            if isinstance(value, Contents):
                yield name, value
            elif isinstance(value, list | tuple | dict) and name not in _REGISTRIES:
                yield from found_in(name, value, lambda part: isinstance(part, Contents))

    def children(self) -> Iterator[Any]:
        """The direct submodules, each once."""
        return iter({id(module): module for _, module in self.named_children()}.values())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> NamedModules:
        """(path, module) of this module, with path prefix, and of all submodules.

        One that occurs twice is given once, or with remove_duplicate=False under each path.
        """
        seen: set[int] = set()
        stack: list[tuple[str, Any, frozenset[int]]] = [(prefix, self, frozenset())]
        while stack:
            path, module, above = stack.pop()
            if id(module) in (seen if remove_duplicate else above):  # above: a module in itself
                continue
            seen.add(id(module))
            yield path, module
            if not remove_duplicate:
                above = above | {id(module)}
            children = [
                (f"{path}.{name}" if path else name, child, above)
                for name, child in module.named_children()
            ]
            stack.extend(reversed(children))

    def modules(self) -> Iterator[Any]:
        """This module and all submodules, each once."""
        return (module for _, module in self.named_modules())

    def get_submodule(self, path: str) -> Any:
        """The submodule of a path such as "layers.0"; AttributeError if there is none."""
        for found, module in self.named_modules(remove_duplicate=False):
            if found == path:
                return module
        raise AttributeError(f"{type(self).__name__} has no submodule {path!r}")

    def _own_parameters(self) -> NamedTensors:
        """(name, parameter) of this module without its submodules."""
        own = vars(self)
        for name in own.get("_parameters", {}):
            if isinstance(own.get(name), Tensor):
                yield name, own[name]
        for name, value in list(own.items()):
            if isinstance(value, list | tuple | dict) and name not in _REGISTRIES:
                yield from found_in(name, value, is_parameter)

    def _own_buffers(self, persistent_only: bool = False) -> NamedTensors:
        """(name, buffer) of this module without its submodules."""
        for name, persistent in vars(self).get("_buffers", {}).items():
            if isinstance(getattr(self, name, None), Tensor) and (
                persistent or not persistent_only
            ):
                yield name, getattr(self, name)

    def _named_tensors(
        self, own: Callable[[Any], NamedTensors], prefix, recurse, once
    ) -> NamedTensors:
        """(path, tensor) of own(module) for this module and all submodules."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix, once) if recurse else [(prefix, self)]:
            for name, x in own(module):
                if not (once and id(x) in seen):
                    seen.add(id(x))
                    yield (f"{path}.{name}" if path else name), x

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> NamedTensors:
        """(path, parameter) of all parameters; a shared one once. recurse=False: only its own."""
        return self._named_tensors(Contents._own_parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Parameters:
        """All parameters, each once; recurse=False leaves out those of submodules."""
        return Parameters(p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> NamedTensors:
        """(path, buffer) of all buffers, those that are not saved included."""
        return self._named_tensors(Contents._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> list[Tensor]:
        """All buffers, each once."""
        return [b for _, b in self.named_buffers(recurse=recurse)]


def prefix_of(names: Iterable[str], found: Iterable[str]) -> str:
    """What stands before each of the names in `found`, such as "model." in a run's checkpoint."""
    names, found = list(names), set(found)
    if not names or not found.isdisjoint(names):
        return ""
    candidates = [name.removesuffix(names[0]) for name in found if name.endswith(names[0])]
    fits = lambda prefix: all(prefix + name in found for name in names)
    return next(filter(fits, sorted(candidates, key=len)), "")
