"""The module: it finds parameters, buffers and submodules by name, in the order of assignment."""

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigen.autodiff.explain import explain_call, name_module
from minigen.autodiff.graph import Leaf, count_write, trace_observer
from minigen.backend.arrays import Array, owner
from minigen.backend.devices import to_device
from minigen.backend.dtypes import FLOATS, as_array, check_dtype, names_dtype
from minigen.errors import CheckpointError, DeviceError, DTypeError, ShapeError
from minigen.nn.contents import Contents, LoadedKeys, is_parameter, prefix_of
from minigen.nn.hooks import HasForward, HookHandle, Hooks, P, R
from minigen.tensors import Tensor


def Parameter(x: Tensor | Array, requires_grad: bool = True) -> Tensor:
    """A leaf tensor with a copy of x, to be assigned to a module; requires_grad=False freezes it.

    The copy can be written to, as an optimizer will, also if x cannot.
    """
    parameter = Tensor(as_array(x.data if isinstance(x, Tensor) else x)).requires_grad_()
    return parameter if requires_grad else parameter.requires_grad_(False)


class Module(Contents):
    """A part of a model: subclasses assign parameters and submodules and define `forward`.

    A leaf tensor that requires grad when it is assigned is a parameter, also if it is frozen later.
    Parameters and submodules are found in lists, tuples and dicts too. Names are paths such as
    "layers.0.weight".
    """

    training = True
    _hooks: Hooks | None = None  # made for the first hook: a module without one pays nothing
    _warned_of_dtype = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Call the module itself, not this method."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self: HasForward[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        observer = trace_observer.get()
        try:
            if self._hooks is not None:
                return self._hooks.call(self, self._run, args, kwargs)
            if observer is None:
                return self.forward(*args, **kwargs)
            return observer.called(self, args, kwargs)
        except (ShapeError, DTypeError, DeviceError, IndexError) as error:
            name_module(error, self)
            raise
        except (AttributeError, TypeError) as error:
            explain_call(error, self)
            raise

    def _run(self, args: tuple, kwargs: dict) -> Any:
        """A call of a module between its hooks."""
        observer = trace_observer.get()
        if observer is None:
            return self.forward(*args, **kwargs)
        return observer.called(self, args, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        own = vars(self)
        if isinstance(value, Tensor):
            buffers = own.get("_buffers", ())
            if type(value.node) is not Leaf:
                if name in buffers:
                    value = Tensor(value.data.copy(), Leaf(requires_grad=False))
                elif is_parameter(own.get(name)):
                    raise TypeError(
                        f"{type(self).__name__}.{name} is a parameter, which a computed tensor "
                        "cannot replace: change it with an optimizer of minigen.optim, copy values "
                        "with load_state_dict, or assign nn.Parameter(...)"
                    )
            elif name not in buffers or value.requires_grad:
                own.setdefault("_parameters", {})[name] = None
        object.__setattr__(self, name, value)

    def register_buffer(
        self, name: str, value: Tensor | Array | None, persistent: bool = True
    ) -> None:
        """Assign a copy of value to `name`: a constant that is saved and moved with parameters.

        With persistent=False it is moved, but not saved. None keeps the name for later.
        """
        self.__dict__.setdefault("_buffers", {})[name] = persistent
        if value is not None:
            data = value.data if isinstance(value, Tensor) else as_array(value)
            value = Tensor(data.copy(), Leaf(requires_grad=False))
        object.__setattr__(self, name, value)

    def register_parameter(self, name: str, parameter: Tensor | None) -> None:
        """Assign a parameter, or None, to `name`; KeyError for another attribute's name."""
        self._check_name(name)
        if parameter is not None and not is_parameter(parameter):
            raise TypeError(f"{name} is no parameter; make one with nn.Parameter(...)")
        setattr(self, name, parameter)

    def register_module(self, name: str, module: "Module | None") -> None:
        """Assign a submodule, or None, to `name`; KeyError for another attribute's name."""
        self._check_name(name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: {name!r} is for a module, got {module!r}")
        setattr(self, name, module)

    add_module = register_module

    def _check_name(self, name):
        """KeyError for a name that is no name, or that is an attribute of other meaning."""
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{type(self).__name__}: {name!r} must be a text without a dot")
        value = getattr(self, name, None)
        if value is not None and not isinstance(value, Module) and not is_parameter(value):
            raise KeyError(f"{type(self).__name__} has an attribute {name!r}; take another name")

    def apply(self, function: Callable[["Module"], Any]) -> "Module":
        """Call function(module) for all submodules, and last for this module, which is returned."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def register_forward_pre_hook(self, hook: Callable) -> HookHandle:
        """Call hook(module, args) before each call; what it returns, if not None, replaces args.

        `remove()` of the handle that is returned takes the hook away.
        """
        self._hooks = self._hooks or Hooks()
        return HookHandle(self._hooks.before, hook)

    def register_forward_hook(self, hook: Callable) -> HookHandle:
        """Call hook(module, args, result) after each call; not None replaces the result."""
        self._hooks = self._hooks or Hooks()
        return HookHandle(self._hooks.after, hook)

    # ------------------------------------------------------------------------- state

    def state_dict(self, *, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and buffers by path, as constants that share the module's memory.

        They change when the module is trained; copy.deepcopy keeps their values. prefix is put
        before each path. One that has several paths is there under each.
        """
        return {prefix + name: x.detach() for name, x in self._saved().items()}

    def _saved(self):
        """The parameters of a state by path, then its buffers."""
        saved: dict[str, Tensor] = {}
        for own in (Module._own_parameters, lambda module: module._own_buffers(True)):
            saved |= self._named_tensors(own, "", recurse=True, once=False)
        return saved

    def load_state_dict(self, state: dict[str, Tensor | Array], strict: bool = True) -> LoadedKeys:
        """Copy values from state into parameters and buffers, by path.

        CheckpointError, with all differences and the module unchanged, if names or shapes differ;
        with strict=False missing and unexpected names are ignored, and returned. A shared parameter
        is not missing if one of its names is there.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: needs a dict of arrays, not {type(state).__name__}")
        tensors = self._saved()
        arrays = {k: v.data if isinstance(v, Tensor) else as_array(v) for k, v in state.items()}
        wrong = [
            f"{name} has shape {arrays[name].shape}, expected {x.shape}"
            for name, x in tensors.items()
            if name in arrays and arrays[name].shape != x.shape
        ]
        loaded = {id(x) for name, x in tensors.items() if name in arrays}
        missing = [name for name, x in tensors.items() if id(x) not in loaded]
        unexpected = [name for name in arrays if name not in tensors]
        if strict:
            wrong += [f"{name} is missing" for name in missing]
            wrong += [f"{name} is unexpected" for name in unexpected]
        if prefix := prefix_of(tensors, arrays):
            raise CheckpointError(
                f"the state does not fit {type(self).__name__}: its names begin with {prefix!r}; "
                f"pass {{k.removeprefix({prefix!r}): v for k, v in state.items() if "
                f"k.startswith({prefix!r})}}, or take the model of a run by minigen.training."
                "load_run(path)"
            )
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
        return LoadedKeys(missing, unexpected)

    def train(self, mode: bool = True) -> "Module":
        """Set `training` of this module and all submodules; dropout and batch norm read it."""
        if not isinstance(mode, bool | np.bool_):
            raise ValueError(f"train: mode must be True or False, got {type(mode).__name__}")
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> "Module":
        """Set `training` of this module and all submodules to False."""
        return self.train(False)

    def to(self, *targets: Any, device: str | None = None, dtype: Any = None) -> "Module":
        """Move all parameters and buffers to a device, and convert the floats to another dtype.

        to("cuda"), to(mg.float64), to("cuda", mg.float32) and the keywords do the same.
        """
        targets = tuple(t for t in (*targets, device, dtype) if t is not None)
        for target in targets:
            if names_dtype(target) and check_dtype(target) not in FLOATS:
                raise DTypeError(f"to: a module has floats, float32 or float64, not {target!r}")
        moved = [(x, x.data) for x in [*self.parameters(), *self.buffers()]]
        for target in targets:
            moved = [
                (x, a if names_dtype(target) and a.dtype.kind != "f" else Tensor(a).to(target).data)
                for x, a in moved
            ]
        for x, array in moved:  # after all conversions, of which one may fail
            x.data = array
            count_write(x.node)
            for target in targets if x.grad is not None else ():
                x.grad = x.grad.detach().to(target)
        return self

    def float(self) -> "Module":
        """Convert the floats of all parameters and buffers to float32."""
        return self.to(np.float32)

    def double(self) -> "Module":
        """Convert the floats of all parameters and buffers to float64."""
        return self.to(np.float64)

    def cuda(self) -> "Module":
        """Move all parameters and buffers to the GPU."""
        return self.to("cuda")

    def cpu(self) -> "Module":
        """Move all parameters and buffers to the CPU."""
        return self.to("cpu")

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Set requires_grad of all parameters; False freezes them."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradient of every parameter to None, or with set_to_none=False to zeros."""
        for p in self.parameters():
            if p.requires_grad and p.grad is not None:
                p.grad = None if set_to_none else Tensor(np.zeros_like(p.data))

    def warn_of_dtype(self, x: Tensor | Array, weight: Tensor) -> None:
        """Warn, once for each module, if x and the module's weight are floats of two dtypes."""
        if self._warned_of_dtype or x.dtype.kind != "f" or x.dtype == weight.dtype:
            return
        for module in self.modules():
            module.__dict__["_warned_of_dtype"] = True
        depth, frame = 1, sys._getframe()
        while frame.f_back and frame.f_globals["__name__"].startswith("minigen."):
            depth, frame = depth + 1, frame.f_back
        warnings.warn(
            f"{type(self).__name__}: the input is {x.dtype}, the weight {weight.dtype}, so the "
            f"layer computes in float64, in twice the time: convert the input, "
            f"x.astype('{weight.dtype}'), or the model, model.to('{x.dtype}')",
            UserWarning,
            stacklevel=depth,
        )

    def extra_repr(self) -> str:
        """The settings in the module's repr: by default its attributes that are numbers or text."""
        plain = bool | int | float | str
        settings = {
            k: v
            for k, v in vars(self).items()
            if isinstance(v, plain) and k != "training" and not k.startswith("_")
        }
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())

    def __repr__(self) -> str:
        settings = self.extra_repr()
        parts = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not parts:
            return f"{type(self).__name__}({settings})"
        lines = "\n".join([settings, *parts] if settings else parts).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {lines}\n)"
