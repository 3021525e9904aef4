"""The module: it finds parameters, buffers and submodules by name, in the order of assignment."""

from collections.abc import Iterator
from typing import Any

from minigen.autodiff.explain import name_module
from minigen.autodiff.graph import Leaf, count_write, trace_observer
from minigen.backend.arrays import Array, owner
from minigen.backend.devices import to_device
from minigen.backend.dtypes import as_array, names_dtype
from minigen.errors import CheckpointError, DeviceError, DTypeError, ShapeError
from minigen.tensors import Tensor


def Parameter(x: Tensor | Array) -> Tensor:
    """A leaf tensor with a copy of x and requires_grad=True, to be assigned to a module."""
    return Tensor(as_array(x.data if isinstance(x, Tensor) else x)).requires_grad_()


class Module:
    """A part of a model: subclasses assign parameters and submodules and define `forward`.

    A leaf tensor that requires grad when it is assigned is a parameter, also if it is frozen later.
    Submodules are found in lists, tuples and dicts too; a parameter in one raises TypeError. Names
    are paths such as "layers.0.weight".
    """

    training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Call the module itself, not this method."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        observer = trace_observer.get()
        try:
            if observer is None:
                return self.forward(*args, **kwargs)
            return observer.called(self, args, kwargs)
        except (ShapeError, DTypeError, DeviceError, IndexError) as error:
            name_module(error, self)
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self).get("_buffers", ()) and isinstance(value, Tensor):
            if not value.requires_grad and type(value.node) is not Leaf:
                value = Tensor(value.data.copy(), Leaf(requires_grad=False))  # see register_buffer
        elif _is_parameter(value):
            self.__dict__.setdefault("_parameters", {})[name] = None
        elif isinstance(value, list | tuple | dict) and _holds_parameter(value):
            raise TypeError(
                f"{type(self).__name__}.{name}: parameters in a {type(value).__name__} are not "
                "found; assign each to a name, or put them into modules"
            )
        object.__setattr__(self, name, value)

    def register_buffer(self, name: str, value: Tensor | Array) -> None:
        """Assign a copy of value to `name`: a constant that is saved and moved with parameters."""
        self.__dict__.setdefault("_buffers", {})[name] = None
        data = value.data if isinstance(value, Tensor) else as_array(value)
        object.__setattr__(self, name, Tensor(data.copy(), Leaf(requires_grad=False)))

    # ---------------------------------------------------- submodules, parameters, buffers

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """(name, module) of the direct submodules, also of those in lists, tuples and dicts."""
        for name, value in list(vars(self).items()):
            yield from _modules_in(name, value)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """(path, module) of this module, with path prefix, and of all submodules, each once."""
        seen: set[int] = set()
        stack = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            children = [
                (f"{path}.{name}" if path else name, child) for name, child in module.children()
            ]
            stack.extend(reversed(children))

    def _named_tensors(self, registry: str) -> Iterator[tuple[str, Tensor]]:
        """(path, tensor) of each name in a registry, "_parameters" or "_buffers"."""
        for path, module in self.named_modules():
            for name in vars(module).get(registry, {}):
                if isinstance(getattr(module, name, None), Tensor):
                    yield (f"{path}.{name}" if path else name), getattr(module, name)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(path, parameter) of all parameters; a shared one once."""
        seen: set[int] = set()
        for name, p in self._named_tensors("_parameters"):
            if id(p) not in seen:
                seen.add(id(p))
                yield name, p

    def parameters(self) -> list[Tensor]:
        """All parameters, each once."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of all buffers."""
        return self._named_tensors("_buffers")

    def buffers(self) -> list[Tensor]:
        """All buffers."""
        return [b for _, b in self.named_buffers()]

    # ------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by path, as constants that share the module's memory.

        They change when the module is trained; copy.deepcopy keeps their values.
        """
        tensors = [*self._named_tensors("_parameters"), *self.named_buffers()]
        return {name: x.detach() for name, x in tensors}

    def load_state_dict(self, state: dict[str, Tensor | Array], strict: bool = True) -> None:
        """Copy values from state into parameters and buffers, by path.

        CheckpointError, with all differences and the module unchanged, if names or shapes differ;
        with strict=False missing and unexpected names are ignored.
        """
        tensors = dict([*self._named_tensors("_parameters"), *self.named_buffers()])
        arrays = {k: v.data if isinstance(v, Tensor) else as_array(v) for k, v in state.items()}
        wrong = [
            f"{name} has shape {arrays[name].shape}, expected {x.shape}"
            for name, x in tensors.items()
            if name in arrays and arrays[name].shape != x.shape
        ]
        if strict:
            wrong += [f"{name} is missing" for name in tensors if name not in arrays]
            wrong += [f"{name} is unexpected" for name in arrays if name not in tensors]
        if wrong:
            raise CheckpointError(
                f"the state does not fit {type(self).__name__}: " + "; ".join(wrong)
            )
        # state may have arrays of this module under other names. These are copied first, since
        # their values are overwritten below.
        owner_ids = {id(owner(x.data)) for x in tensors.values()}
        for name, array in arrays.items():
            same = name in tensors and array is tensors[name].data
            if not same and id(owner(array)) in owner_ids:
                arrays[name] = array.copy()
        for name, x in tensors.items():
            if name in arrays:
                x.data[...] = to_device(arrays[name], x.device)
                count_write(x.node)

    def train(self, mode: bool = True) -> "Module":
        """Set `training` of this module and all submodules; dropout and batch norm read it."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Set `training` of this module and all submodules to False."""
        return self.train(False)

    def to(self, device_or_dtype: Any) -> "Module":
        """Move all parameters and buffers to a device, or convert the floats to another dtype."""
        for x in [*self.parameters(), *self.buffers()]:
            if names_dtype(device_or_dtype) and x.dtype.kind != "f":
                continue
            x.data = Tensor(x.data).to(device_or_dtype).data
            count_write(x.node)
            if x.grad is not None:
                x.grad = x.grad.detach().to(device_or_dtype)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Set requires_grad of all parameters; False freezes them."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for p in self.parameters():
            if p.requires_grad:
                p.grad = None

    def extra_repr(self) -> str:
        """The settings in the module's repr: by default its attributes that are numbers or text."""
        plain = bool | int | float | str
        settings = {k: v for k, v in vars(self).items() if isinstance(v, plain) and k != "training"}
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())

    def __repr__(self) -> str:
        children = "".join(
            f"\n  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.children()
        )
        return f"{type(self).__name__}({self.extra_repr()}{children}{chr(10) if children else ''})"


def _holds_parameter(values: Any) -> bool:
    parts = values.values() if isinstance(values, dict) else values
    return any(map(_is_parameter, parts))


def _is_parameter(x: Any) -> bool:
    return isinstance(x, Tensor) and type(x.node) is Leaf and x.node.requires_grad


def _modules_in(name: str, value: Any) -> Iterator[tuple[str, Module]]:
    if isinstance(value, Module):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _modules_in(f"{name}.{i}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _modules_in(f"{name}.{key}", part)
