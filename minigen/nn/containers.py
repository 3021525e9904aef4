"""Containers of modules, and modules that only change the shape."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from minigen import ops
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn.contents import is_parameter
from minigen.nn.module import Module, Parameter
from minigen.tensors import Tensor


class _Container(Module):
    """The base of the containers, whose entries are their attributes that are modules."""

    def _entries(self) -> dict[str, Module]:
        return {name: part for name, part in vars(self).items() if isinstance(part, Module)}

    def __len__(self) -> int:
        return len(self._entries())


class _Ordered(_Container):
    """A container that is a list: its entries have the names "0", "1" and so on."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries().values())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        """An entry, or for a slice a container of the same entries."""
        if not isinstance(index, slice):
            return list(self)[index]
        if isinstance(self, Sequential):  # its entries keep their names, as in PyTorch
            return Sequential(dict(list(self._entries().items())[index]))
        return ModuleList(list(self)[index])

    def __add__(self, modules: Iterable[Module]) -> Any:
        """A container of the entries of both, named by number."""
        return (Sequential if isinstance(self, Sequential) else ModuleList)().extend(
            [*self, *modules]
        )

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __setitem__(self, index: int, module: Module) -> None:
        self.register_module(list(self._entries())[index], _checked(self, module))

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        del kept[index]
        self._replace(kept)

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the container."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns the container."""
        modules = [_checked(self, module) for module in modules]
        for module in modules:
            number, taken = len(self), self._entries()
            while str(number) in taken:  # a slice may begin with "1"
                number += 1
            setattr(self, str(number), module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before entry `index`; later ones move on by one."""
        entries = list(self)
        entries.insert(index, _checked(self, module))
        self._replace(entries)

    def pop(self, index: int = -1) -> Any:
        """Take an entry out and return it."""
        entries = list(self)
        taken = entries.pop(index)
        self._replace(entries)
        return taken

    def _replace(self, modules):
        """Make modules the entries, named by number."""
        for name in self._entries():
            delattr(self, name)
        for i, module in enumerate(modules):
            setattr(self, str(i), module)


def _checked(container, module):
    """module; TypeError if it is none."""
    if not isinstance(module, Module):
        name = type(container).__name__
        raise TypeError(f"{name}: {module!r} is no module; modules are nn.Linear(...) and the like")
    return module


class Sequential(_Ordered):
    """Modules applied one after the other; it is used like a list.

    modules: the modules, or one dict from names to modules. The output of each is the input of the
    next.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]):
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.register_module(name, _checked(self, module))
            return
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: argument {i} is no module: {module!r}")
            setattr(self, str(i), module)

    def forward(self, x: Any) -> Tensor:
        for module in self:
            x = module(x)
        return x


class ModuleList(_Ordered):
    """A list of modules; it can be changed and iterated, but not called."""

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules)


class ModuleDict(_Container):
    """A dict from names to modules, which are its attributes too; it cannot be called.

    A name has no dot and is not that of a method, such as "keys".
    """

    def __init__(self, modules: Mapping[str, Module] | None = None):
        self.update(modules or {})

    def __getitem__(self, name: str) -> Any:
        return self._entries()[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(module, Module) or not isinstance(name, str) or "." in name:
            raise TypeError(
                f"ModuleDict: {name!r} must be a name without a dot, for a module; got {module!r}"
            )
        self.register_module(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __contains__(self, name: object) -> bool:
        return name in self._entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._entries().keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._entries().values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, module) pairs."""
        return self._entries().items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Set the entries of a dict, or of (name, module) pairs."""
        for name, module in dict(modules).items():
            self[name] = module

    def clear(self) -> None:
        """Take all entries out."""
        for name in self._entries():
            delattr(self, name)

    def pop(self, name: str) -> Any:
        """Take an entry out and return it."""
        module = self[name]
        delattr(self, name)
        return module


def ParameterList(values: Iterable[Tensor | Array] = ()) -> list[Tensor]:
    """A plain list of parameters, made of tensors or arrays: modules find those in any list."""
    return [x if is_parameter(x) else Parameter(x) for x in values]


def ParameterDict(values: Mapping[str, Tensor | Array] | None = None) -> dict[str, Tensor]:
    """A plain dict of parameters, made of tensors or arrays: modules find those in any dict."""
    return {k: x if is_parameter(x) else Parameter(x) for k, x in (values or {}).items()}


class Identity(Module):
    """Returns x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def _axis_of(x: Tensor, axis: int, module: Module) -> int:
    """axis as a number in [0, x.ndim); ShapeError if x has no such axis."""
    if not -x.ndim <= axis < x.ndim:
        name = type(module).__name__
        raise ShapeError(f"{name}: axis {axis} does not exist in an input of shape {x.shape}")
    return axis % x.ndim


class Flatten(Module):
    """Joins the axes start_dim to end_dim into one: by default (B, C, H, W) to (B, C * H * W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        first, last = _axis_of(x, self.start_dim, self), _axis_of(x, self.end_dim, self)
        if last < first:
            raise ShapeError(f"Flatten: axis {first} comes after axis {last}, of shape {x.shape}")
        size = math.prod(x.shape[first : last + 1])
        return ops.reshape(x, (*x.shape[:first], size, *x.shape[last + 1 :]))


class Unflatten(Module):
    """Splits axis dim into axes of lengths unflattened_size: (B, C * H) to (B, C, H)."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        axis = _axis_of(x, self.dim, self)
        return ops.reshape(x, (*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :]))
