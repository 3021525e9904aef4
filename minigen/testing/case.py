"""What a test of an op needs to know, and one call of an op taken apart for its checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autodiff.primitives import REGISTRY, raw
from minigen.backend.devices import device_of, to_device
from minigen.testing.choices import Choices
from minigen.testing.pullback import as_tuple


@dataclass(frozen=True)
class Case:
    """How one op is tested.

    draw makes (args, kwargs) of one call, of float64 arrays away from kinks; every float array
    among them is an argument to differentiate by. reference takes the same and computes the same
    in NumPy, without minigen; where complex_step is true it takes complex arrays too, and
    branches on their real part. order is the highest derivative to check. A raw op has none.
    """

    reference: Callable
    draw: Callable[[Choices], tuple[tuple, dict]]
    order: int = 2
    complex_step: bool = True
    raw: bool = False
    several: bool = False  # whether it returns a tuple
    own_dtype: bool = False  # whether the call says which dtype the result has

    def arguments(self, choices: Choices) -> tuple[tuple, dict]:
        """What draw makes, with arrays where NumPy made scalars of 0-d arithmetic."""
        args, kwargs = self.draw(choices)
        return as_arrays(args), dict(zip(kwargs, as_arrays(list(kwargs.values()))))


class Call:
    """One call of an op: its float arrays, and the op and its reference as functions of them."""

    def __init__(self, name: str, case: Case, args: tuple, kwargs: dict):
        self.name, self.case, self.op = name, case, REGISTRY[name]
        self._args, self._kwargs = args, kwargs
        self._state = kwargs["rng"].state if "rng" in kwargs else None
        self.arrays = _floats((args, list(kwargs.values())))
        for x in self.arrays:
            x.setflags(write=False)

    def bound(self, arrays: Sequence) -> tuple[tuple, dict]:
        """The arguments with these in the place of the float arrays."""
        if self._state is not None:
            self._kwargs["rng"].state = self._state  # the same draws each time
        rest, device = iter(arrays), device_of(raw(arrays[0])) if arrays else "cpu"
        args = _replaced(self._args, rest, device)
        kwargs = _replaced(list(self._kwargs.values()), rest, device)
        return args, dict(zip(self._kwargs, kwargs))

    def __call__(self, *arrays: Any) -> tuple:
        """The outputs of the op for raw arrays or tensors."""
        args, kwargs = self.bound(arrays)
        return as_tuple(self.op.function(*args, **kwargs))

    def reference(self, *arrays: np.ndarray) -> tuple:
        """The outputs of the reference."""
        args, kwargs = self.bound(arrays)
        with np.errstate(all="ignore"):
            return as_tuple(self.case.reference(*args, **kwargs))

    def in_float32(self) -> list[np.ndarray]:
        """The arrays, rounded to float32."""
        return [x.astype(np.float32) for x in self.arrays]

    def __repr__(self) -> str:
        named = "".join(f", {key}={value!r}" for key, value in self._kwargs.items())
        return f"{self.name}(*{self._args!r}{named})"


def cotangents(call: Call, rng: np.random.Generator) -> list[np.ndarray]:
    """A random one for each output, read-only."""
    outputs = [np.asarray(y) for y in call(*call.arrays)]
    return [frozen(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]


def frozen(x):
    x = np.asarray(x)
    x.setflags(write=False)
    return x


def as_arrays(tree: Any) -> Any:
    """A tree with arrays in the place of NumPy scalars."""
    if isinstance(tree, list | tuple):
        return type(tree)(map(as_arrays, tree))
    return np.asarray(tree) if isinstance(tree, np.generic) else tree


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _floats(tree):
    if isinstance(tree, list | tuple):
        return [x for part in tree for x in _floats(part)]
    return [tree] if _is_float(tree) else []


def _replaced(tree, arrays, device):
    """The tree with these arrays for its float ones, and all others on the same device."""
    if isinstance(tree, list | tuple):
        return type(tree)(_replaced(part, arrays, device) for part in tree)
    if _is_float(tree):
        return next(arrays)
    return to_device(tree, device) if isinstance(tree, np.ndarray) else tree


def where_real(condition, a, b):
    """np.where for references: a or b, each perhaps complex, and an array."""
    return np.asarray(np.where(condition, a, b))


def modulus(x):
    """|x| for references: analytic, with the branch taken on the real part."""
    return where_real(np.real(x) < 0, -x, x)
