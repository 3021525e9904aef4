"""A module as a function of its parameters."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from minigen.nn import Module
from minigen.random import Generator, default_generator
from minigen.tensors import Tensor


class Functional:
    """f(*parameters, *inputs) for a module, or a bound method of one, of which it takes a copy.

    The copy is in float64. Its buffers and its random generators are set back before each call:
    so batch norm, dropout and sampling do the same each time.
    """

    def __init__(self, f: Callable):
        method = None if isinstance(f, Module) else f.__name__
        module = deepcopy(f if method is None else f.__self__).to(np.float64)
        self.call = module if method is None else getattr(module, method)
        named = list(module.named_parameters())
        self.names = [name for name, _ in named]
        self.parameters = [p.data.copy() for _, p in named]
        parts = [part for _, part in module.named_modules()]
        # Where each parameter stands: a shared one stands in several places.
        self.places = [
            [(part, key) for part in parts for key, value in vars(part).items() if value is p]
            for _, p in named
        ]
        self.buffers = [(b.data, b.data.copy()) for b in module.buffers()]
        held = [v for part in parts for v in vars(part).values() if isinstance(v, Generator)]
        self.generators = [(rng, rng.state) for rng in [*held, default_generator()]]

    def __call__(self, *args: Any) -> Any:
        for rng, state in self.generators:
            rng.state = state
        for array, values in self.buffers:
            array[...] = values
        given, inputs = args[: len(self.places)], args[len(self.places) :]
        before = [getattr(*places[0]) for places in self.places]
        try:
            self._put(given)
            return self.call(*inputs)
        finally:
            self._put(before)

    def _put(self, tensors: list[Tensor]) -> None:
        for places, tensor in zip(self.places, tensors):
            for part, key in places:
                object.__setattr__(part, key, tensor)  # no parameter for the time of a call
