"""How an op is tested (`Case`), and one drawn call of an op as a function of its arrays (`Call`).

A case has two parts: a reference, the same function in plain NumPy without minigen, and a
function that draws arguments.
"""

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

    reference takes the arguments of the op and computes its result in NumPy, without minigen.
    draw returns (args, kwargs) of one call. Float arrays are float64, keep a distance from kinks,
    and are what the op is differentiated by.
    """

    reference: Callable
    draw: Callable[[Choices], tuple[tuple, dict]]
    order: int = 2  # the highest order of derivatives to check
    complex_step: bool = True  # reference takes complex arrays, and branches on their real part
    raw: bool = False  # the op has no derivative
    returns_tuple: bool = False
    sets_dtype: bool = False  # an argument of the call is the dtype of the result

    def arguments(self, choices: Choices) -> tuple[tuple, dict]:
        """Drawn (args, kwargs). Scalars that NumPy made of 0-d arrays are arrays again."""
        args, kwargs = self.draw(choices)
        return as_arrays(args), dict(zip(kwargs, as_arrays(list(kwargs.values()))))


class Call:
    """One call of an op. `arrays` are its float arrays; op and reference are functions of them."""

    def __init__(self, name: str, case: Case, args: tuple, kwargs: dict):
        self.name, self.case, self.op = name, case, REGISTRY[name]
        self._args, self._kwargs = args, kwargs
        self._state = kwargs["rng"].state if "rng" in kwargs else None
        self.arrays = _floats((args, list(kwargs.values())))
        for x in self.arrays:
            x.setflags(write=False)

    def with_arrays(self, arrays: Sequence) -> tuple[tuple, dict]:
        """(args, kwargs) of the call with other values of its float arrays."""
        if self._state is not None:
            self._kwargs["rng"].state = self._state  # the same draws each time
        rest, device = iter(arrays), device_of(raw(arrays[0])) if arrays else "cpu"
        args = _replaced(self._args, rest, device)
        kwargs = _replaced(list(self._kwargs.values()), rest, device)
        return args, dict(zip(self._kwargs, kwargs))

    def __call__(self, *arrays: Any) -> tuple:
        """The outputs of the op, as a tuple, for raw arrays or tensors."""
        args, kwargs = self.with_arrays(arrays)
        return as_tuple(self.op.function(*args, **kwargs))

    def reference(self, *arrays: np.ndarray) -> tuple:
        """The outputs of the reference, as a tuple."""
        args, kwargs = self.with_arrays(arrays)
        with np.errstate(all="ignore"):
            return as_tuple(self.case.reference(*args, **kwargs))

    def in_float32(self) -> list[np.ndarray]:
        """The arrays, rounded to float32."""
        return [x.astype(np.float32) for x in self.arrays]

    def __repr__(self) -> str:
        named = "".join(f", {key}={value!r}" for key, value in self._kwargs.items())
        return f"{self.name}(*{self._args!r}{named})"


def cotangents(call: Call, rng: np.random.Generator) -> list[np.ndarray]:
    """A random cotangent for each output, read-only."""
    outputs = [np.asarray(y) for y in call(*call.arrays)]
    return [read_only(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]


def read_only(x):
    """x as an array that cannot be written to."""
    x = np.asarray(x)
    x.setflags(write=False)
    return x


def as_arrays(tree: Any) -> Any:
    """A nest of tuples and lists with each NumPy scalar replaced by a 0-d array."""
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
    """The tree with its float arrays replaced by arrays, all other arrays moved to device."""
    if isinstance(tree, list | tuple):
        return type(tree)(_replaced(part, arrays, device) for part in tree)
    if _is_float(tree):
        return next(arrays)
    return to_device(tree, device) if isinstance(tree, np.ndarray) else tree


def where_real(condition, a, b):
    """np.where for references, which returns an array also for 0-d arguments."""
    return np.asarray(np.where(condition, a, b))


def modulus(x):
    """|x| for references: x or -x by the sign of the real part, as the complex step needs."""
    return where_real(np.real(x) < 0, -x, x)
