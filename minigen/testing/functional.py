"""A module as a function of its parameters, which gradcheck can differentiate it by."""

from collections.abc import Callable
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
        # The attributes that hold each parameter: several for a shared one.
        self.attributes = [
            [(part, key) for part in parts for key, value in vars(part).items() if value is p]
            for _, p in named
        ]
        self.buffers = [(b.data, b.data.copy()) for b in module.buffers()]
        own = [v for part in parts for v in vars(part).values() if isinstance(v, Generator)]
        self.generators = [(rng, rng.state) for rng in [*own, default_generator()]]

    def __call__(self, *args: Any) -> Any:
        for rng, state in self.generators:
            rng.state = state
        for array, values in self.buffers:
            array[...] = values
        parameters, inputs = args[: len(self.attributes)], args[len(self.attributes) :]
        before = [getattr(*holders[0]) for holders in self.attributes]
        try:
            self._set_parameters(parameters)
            return self.call(*inputs)
        finally:
            self._set_parameters(before)

    def _set_parameters(self, tensors: list[Tensor]) -> None:
        for holders, tensor in zip(self.attributes, tensors):
            for part, key in holders:
                # Module.__setattr__ would register the tensor as a parameter.
                object.__setattr__(part, key, tensor)
