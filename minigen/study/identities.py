"""Which value an array is: arrays are told apart by identity, for as long as they are alive."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.autodiff.checks import is_array
from minigen.autodiff.graph import Leaf, Traced, leaf_of_memory
from minigen.backend.devices import device_of
from minigen.study.blocks import Blocks
from minigen.study.modules import Modules
from minigen.study.objects import ByIdentity
from minigen.study.steps import Ref, Value


class Identities:
    """The list `values`, and the number in it of each array that is alive.

    keep: whether to keep copies of arrays, up to `limit` bytes together. They are copies because
    the memory of a parameter is written to later, and because memory that a recording held would
    not be freed as it is without one.
    """

    def __init__(self, keep: bool, limit: float, blocks: Blocks, modules: Modules):
        self.values: list[Value] = []
        self.keep, self.limit, self.bytes = keep, limit, 0
        self.is_full = False  # whether an array was not kept because of the limit
        self.blocks, self.modules = blocks, modules
        self._numbers = ByIdentity()
        self._leaves = ByIdentity()  # leaf that requires a gradient -> number of a value

    def find(self, array: Any) -> int | None:
        """The number of the value that the array is; None for an array that was not met."""
        return self._numbers.get(array)

    def assign(self, array: Any, number: int) -> None:
        """From now on the array is the value of that number."""
        self._numbers[array] = number

    def of_argument(self, array: Any, vertex: Any = None) -> int:
        """The number of an array that an op got. If it was written to, it is a new value.

        The memory of a leaf has other contents when its version is another. The contents of any
        array are compared with those that were kept.
        """
        leaf = leaf_of_memory(vertex)
        version = 0 if leaf is None else leaf.version
        is_parameter = type(vertex) is Leaf and vertex.requires_grad
        number = self.find(array)
        if number is not None:
            value = self.values[number]
            is_made = value.step is not None or value.role == "cotangent"
            if (is_made or value.version == version) and _has_contents(array, value.array):
                if is_parameter and not is_made:  # it may have been met as a constant
                    value.role = "parameter"
                return number
        path = self.modules.path_of(array, vertex)
        role = "parameter" if is_parameter else "data" if path is None else "buffer"
        number = self.add(array, role, vertex, version=version).number
        if is_parameter:
            self._leaves[vertex] = number
            self._follow_gradient(vertex)
        return number

    def _follow_gradient(self, leaf: Leaf) -> None:
        """Follow the memory of the `.grad` of a leaf, which may be from before the run."""
        if leaf.grad is not None:
            self.blocks.follow(leaf.grad.data, self._leaves.get(leaf), "gradient")

    def add(self, array: Any, role: str, vertex: Any = None, **fields: Any) -> Value:
        """A new value with the contents that the array has now."""
        facts = tuple(array.shape), array.dtype, array.nbytes
        copy = self._copy(array, role)
        fields |= {"strides": array.strides, "device": device_of(array)}
        value = Value(len(self.values), role, *facts, copy, **fields)
        self.values.append(value)
        self.blocks.follow(array, value.number)
        self.assign(array, value.number)
        self.modules.note(value, array, vertex)
        return value

    def _copy(self, array: Any, role: str) -> Any:
        """A copy of an array, unless copies are not kept or would take more than the limit."""
        number = self.find(array)
        if role == "cotangent" and number is not None:  # a rule returned what it got
            copy = self.values[number].array
            if copy is not None and copy.dtype == array.dtype and _has_contents(array, copy):
                return copy
        if self.keep and self.bytes + array.nbytes > self.limit:
            self.keep, self.is_full = False, True
        if not self.keep:
            return None
        self.bytes += array.nbytes
        return array.copy()

    def device(self) -> str:
        """The device of the arrays that are alive: a GPU if one of them is there."""
        names = {device_of(array) for array in self._numbers}
        return max(names, default="cpu")  # "cuda:0" comes after "cpu"

    def forget(self) -> None:
        """Called when the run has ended: follow the last gradients, then forget all arrays."""
        for leaf in self._leaves:
            self._follow_gradient(leaf)
        self._numbers = self._leaves = ByIdentity()

    def referred(self, tree: Any) -> Any:
        """A nest of arguments with `Ref` in place of each array."""
        if isinstance(tree, tuple | list):
            parts = map(self.referred, tree)
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        if isinstance(tree, dict):
            return {key: self.referred(part) for key, part in tree.items()}
        if isinstance(tree, Traced):
            return Ref(self.of_argument(tree.data, tree.node))
        if isinstance(tree, np.generic):
            return tree.item()
        return Ref(self.of_argument(tree)) if is_array(tree) else tree


def _has_contents(array: Any, copy: Any) -> bool:
    """Whether an array has the contents of a copy, NaN included; true if there is no copy."""
    if copy is None:
        return True
    if array.shape != copy.shape:
        return False
    same = array == copy
    return bool(same.all()) or bool((same | ((array != array) & (copy != copy))).all())


def arrays_in(tree: Any) -> Sequence:
    """The arrays in a nest of tuples, lists and dicts."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, tuple | list):
        return [x for part in tree for x in arrays_in(part)]
    return [tree] if is_array(tree) else []


def with_identity(y: Any, args: Sequence) -> Any:
    """What a forward returned, as arrays that stand for its results alone.

    A NumPy scalar has no weak references, and a returned argument has a value already.
    """
    if isinstance(y, np.generic):
        return np.asarray(y)
    if type(y) is tuple:
        return tuple(with_identity(part, args) for part in y)
    return y.view() if any(y is x for x in args) else y
