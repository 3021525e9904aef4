"""Which value an array is: arrays are told apart by identity, for as long as they are alive."""

import weakref
from typing import Any

import numpy as np

from minigen.autodiff.checks import is_array
from minigen.autodiff.graph import Leaf, leaf_of_memory
from minigen.study.blocks import Blocks
from minigen.study.modules import Modules
from minigen.study.steps import Ref, Value


class Identities:
    """The list `values`, and the number in it of each array that is alive.

    keep: whether to keep copies of arrays, up to `limit` bytes together. They are copies because
    the memory of a parameter is written to later, and because memory that a recording held would
    not be freed as it is without one.
    """

    def __init__(self, keep: bool, limit: int, blocks: Blocks, modules: Modules):
        self.values: list[Value] = []
        self.keep, self.limit, self.bytes = keep, limit, 0
        self.blocks, self.modules = blocks, modules
        self._numbers: dict[int, tuple[Any, int]] = {}  # id -> (weak reference, number)

    def find(self, array: Any) -> int | None:
        """The number of the value that the array is; None for an array that is not known."""
        reference, number = self._numbers.get(id(array), (None, None))
        return number if reference is not None and reference() is array else None

    def assign(self, array: Any, number: int) -> None:
        """From now on the array is the value of that number."""
        holds = isinstance(array, np.generic)  # which has no weak references
        self._numbers[id(array)] = (lambda: array) if holds else weakref.ref(array), number

    def of_argument(self, array: Any, vertex: Any = None) -> int:
        """The number of an array that an op got. If no op made it, it may be a new value.

        The memory of a leaf has other contents when its version is another. Contents of other
        arrays that no op made are compared, where they are kept.
        """
        leaf = leaf_of_memory(vertex)
        version = 0 if leaf is None else leaf.version
        number = self.find(array)
        if number is not None:
            value = self.values[number]
            if value.step is not None or value.role == "cotangent":
                return number
            if value.version == version and _has_contents(array, value.array):
                return number
        is_parameter = type(vertex) is Leaf and vertex.requires_grad
        in_module = self.modules.path_of(array) is not None
        role = "parameter" if is_parameter else "buffer" if in_module else "data"
        number = self.add(array, role, version=version).number
        if is_parameter and vertex.grad is not None:
            self.blocks.follow(vertex.grad.data, number, "gradient")
        return number

    def add(self, array: Any, role: str, **fields: Any) -> Value:
        """A new value with the contents that the array has now."""
        copy = None
        if self.keep:
            number = self.find(array)
            if role == "cotangent" and number is not None:  # a rule returned what it got
                copy = self.values[number].array
            if copy is None:
                copy = array.copy()
                self.bytes += copy.nbytes
            self.keep = self.bytes <= self.limit
        facts = tuple(array.shape), array.dtype, array.nbytes
        value = Value(len(self.values), role, *facts, copy, strides=array.strides, **fields)
        self.values.append(value)
        self.blocks.follow(array, value.number)
        self.assign(array, value.number)
        self.modules.note(value, array)
        return value

    def referred(self, tree: Any) -> Any:
        """A nest of arguments with `Ref` in place of each array."""
        if isinstance(tree, tuple | list):
            return type(tree)(map(self.referred, tree))
        return Ref(self.of_argument(tree)) if is_array(tree) else tree


def _has_contents(array: Any, copy: Any) -> bool:
    """Whether an array has the contents of a copy, NaN included; true if there is no copy."""
    if copy is None:
        return True
    return bool(((array == copy) | ((array != array) & (copy != copy))).all())


def without_scalar(result: Any) -> Any:
    """What a forward returned, with an array in place of a NumPy scalar, which has no identity."""
    if isinstance(result, np.generic):
        return np.asarray(result)
    return tuple(map(without_scalar, result)) if type(result) is tuple else result
