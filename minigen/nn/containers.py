"""Containers of modules, and modules that only change the shape."""

import math
from collections.abc import Iterable, Iterator, Mapping

from minigen import ops
from minigen.errors import ShapeError
from minigen.nn.module import Module
from minigen.tensors import Tensor


class Sequential(Module):
    """Modules applied one after the other; it can be indexed, sliced and iterated."""

    def __init__(self, *modules: Module):
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: argument {i} is no module: {module!r}")
            setattr(self, str(i), module)

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return iter([module for module in vars(self).values() if isinstance(module, Module)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int | slice) -> Module:
        selected = list(self)[index]
        return Sequential(*selected) if isinstance(index, slice) else selected


class ModuleList(Module):
    """A list of modules; it can be extended, indexed, sliced and iterated, but not called."""

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules)

    def append(self, module: Module) -> "ModuleList":
        if not isinstance(module, Module):
            raise TypeError(f"ModuleList: no module: {module!r}")
        setattr(self, str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> "ModuleList":
        for module in modules:
            self.append(module)
        return self

    __iter__, __len__ = Sequential.__iter__, Sequential.__len__

    def __getitem__(self, index: int | slice) -> Module:
        selected = list(self)[index]
        return ModuleList(selected) if isinstance(index, slice) else selected


class ModuleDict(Module):
    """A dict from names, which have no dot, to modules; it cannot be called."""

    def __init__(self, modules: Mapping[str, Module] | None = None):
        self.entries: dict[str, Module] = {}
        for name, module in (modules or {}).items():
            self[name] = module

    def children(self) -> Iterator[tuple[str, Module]]:
        return iter(self.entries.items())

    def __getitem__(self, name: str) -> Module:
        return self.entries[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(module, Module) or "." in name:
            raise TypeError(f"ModuleDict: {name!r} must be a name without a dot, for a module")
        self.entries[name] = module

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def keys(self) -> Iterable[str]:
        return self.entries.keys()

    def values(self) -> Iterable[Module]:
        return self.entries.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        return self.entries.items()


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
        size = math.prod(x.shape[first : last + 1])
        return ops.reshape(x, (*x.shape[:first], size, *x.shape[last + 1 :]))


class Unflatten(Module):
    """Splits axis dim into axes of lengths unflattened_size: (B, C * H) to (B, C, H)."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        axis = _axis_of(x, self.dim, self)
        return ops.reshape(x, (*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :]))
