"""A module as a function of its parameters, which gradcheck can differentiate it by."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from minigen.nn import Module
from minigen.random import Generator, default_generator
from minigen.tensors import Tensor


class Functional:
    """f(*parameters, *inputs) for a float64 copy of a module, called itself or by a method.

    Buffers and random generators are reset before each call, so that batch norm, dropout and
    sampling compute the same each time.
    """

    def __init__(self, f: Callable):
        method = None if isinstance(f, Module) else f.__name__
        module = deepcopy(f if method is None else f.__self__).to(np.float64)
        self.call = module if method is None else getattr(module, method)
        named = list(module.named_parameters())
        self.names = [name for name, _ in named]
        self.parameters = [p.data.copy() for _, p in named]
        parts = [part for _, part in module.named_modules()]
        # What holds each parameter, a module, list or dict, and under which key: several for a
        # shared one.
        self.attributes = [[h for part in parts for h in _holders(part, p)] for _, p in named]
        self.buffers = [(b.data, b.data.copy()) for b in module.buffers()]
        own = [v for part in parts for v in vars(part).values() if isinstance(v, Generator)]
        self.generators = [(rng, rng.state) for rng in [*own, default_generator()]]

    def __call__(self, *args: Any) -> Any:
        for rng, state in self.generators:
            rng.state = state
        for array, values in self.buffers:
            array[...] = values
        parameters, inputs = args[: len(self.attributes)], args[len(self.attributes) :]
        before = [_entries(holder)[key] for (holder, key), *_ in self.attributes]
        try:
            self._set_parameters(parameters)
            return self.call(*inputs)
        finally:
            self._set_parameters(before)

    def _set_parameters(self, tensors: list[Tensor]) -> None:
        for holders, tensor in zip(self.attributes, tensors):
            for holder, key in holders:
                # Module.__setattr__ would refuse the tensor.
                _entries(holder)[key] = tensor


def _entries(holder: Module | list | dict) -> Any:
    return vars(holder) if isinstance(holder, Module) else holder


def _holders(holder: Any, p: Tensor) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of each place of p in the attributes of a module, in lists and in dicts."""
    entries = _entries(holder)
    for key, value in list(enumerate(entries) if isinstance(entries, list) else entries.items()):
        if value is p:
            yield holder, key
        elif isinstance(value, tuple) and any(part is p for part in value):
            raise TypeError("gradcheck: parameters in a tuple cannot be replaced; use a list")
        elif isinstance(value, list | dict):
            yield from _holders(value, p)
