"""The tape: every call of an op that is made while it observes, in straight-line order.

A value of the tape is an array, which has a number. A call reads values and makes values. The
derivative rules are called under create_graph, and so they are calls on the tape as well; a fused
op is on it as the calls of its definition.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen.autodiff.checks import is_array, same_memory
from minigen.autodiff.fused import STAND_IN, Fused
from minigen.autodiff.grad_modes import grad_mode
from minigen.autodiff.graph import Leaf, Output, Traced, trace_observer
from minigen.autodiff.primitives import REGISTRY, Op, raw
from minigen.autodiff.trace import Observer, outputs_of
from minigen.study.identities import with_identity
from minigen.study.steps import Ref, Step
from minigen.tensors import Tensor


@dataclass(eq=False)
class Group:
    """The calls of one fused op, forward or backward; names: of its arguments, by value."""

    name: str
    names: dict[int, str]


@dataclass(eq=False)
class Call:
    """A call of an op: inputs are `Ref` (numbers of values of the tape), or Python's numbers."""

    op: Any
    inputs: tuple
    static: dict[str, Any]
    outputs: tuple[int, ...]
    step: Step | None = None  # the forward step of the run that it belongs to
    is_backward: bool = False  # of the derivative rules of that step
    group: Group | None = None  # the outermost fused op that it is part of
    line: tuple[str, int, int] | None = None  # in a definition: file, line, number of the call


@dataclass(eq=False)
class Tape(Observer):
    """The calls, and the arrays of all values; cotangents: value -> the value it belongs to."""

    repeats = True
    calls: list[Call] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)
    made: set[int] = field(default_factory=set)  # the values that a call made
    cotangents: dict[int, int] = field(default_factory=dict)

    def __post_init__(self):
        super().__init__()
        self.step: Step | None = None  # the step of the run that is replayed
        self.in_walk = False
        self._numbers: dict[int, int] = {}  # id of an array -> its value
        self._held: list[Any] = []  # arrays that have an id above
        self._of_vertex: dict[Any, int] = {}
        self._step_of: dict[Any, Step | None] = {}  # node -> step
        self._outputs: tuple[int, ...] = ()  # of the last call
        self.pulled_op: Op | None = None  # the op of which the rules were called last
        self._pulls = 0
        self._group: Group | None = None
        self._definition: Any = None  # the code of the definition that runs
        self._definitions = 0

    # -------------------------------------------------------------------------- values

    def value(self, array: Any) -> int:
        """The value that an array is; a new one, a constant, for an array that no call made."""
        if id(array) in self._numbers:
            return self._numbers[id(array)]
        self.arrays.append(array)
        return self.alias(array, len(self.arrays) - 1)

    def alias(self, array: Any, number: int) -> int:
        """From now on the array is the value of that number, which is returned."""
        self._numbers[id(array)] = number
        self._held.append(array)
        return number

    def met(self, handle: Traced) -> None:
        """Called for each new handle: its array and its vertex stand for one value."""
        key = _key(handle.node)
        if id(handle.data) in self._numbers:
            self._of_vertex.setdefault(key, self._numbers[id(handle.data)])
        elif key in self._of_vertex:  # the copy of a gradient
            self.alias(handle.data, self._of_vertex[key])
        else:
            self._of_vertex[key] = self.value(handle.data)

    def reference(self, tree: Any) -> Any:
        """A nest of arguments with `Ref` in place of each array."""
        if isinstance(tree, tuple | list):
            return type(tree)(map(self.reference, tree))
        if isinstance(tree, dict):
            return {name: self.reference(x) for name, x in tree.items()}
        tree = raw(tree)
        if isinstance(tree, np.generic):
            return tree.item()
        return Ref(self.value(tree)) if is_array(tree) else tree

    # --------------------------------------------------------------------------- calls

    def forward_of(self, op, arrays, parents):
        def run(*args, **static):
            inputs = tuple(map(self._promoted, arrays, args))
            if isinstance(op, Fused):
                return self._by_definition(op, args, static), None
            result = with_identity(op.forward(*args, **static), args)
            self._append(op, inputs, self.reference(static), outputs_of(op, result))
            return result

        return run

    def _promoted(self, array: Any, promoted: Any) -> Any:
        """The reference to an argument, after a cast where `prepare` has made one."""
        reference = self.reference(array)
        if is_array(promoted) and promoted is not array:
            if is_array(array) and array.dtype == promoted.dtype:  # of a subclass of ndarray
                self.alias(promoted, reference.number)
            elif is_array(array):
                cast, dtype = REGISTRY["_astype"], promoted.dtype
                self._append(cast, (reference,), {"dtype": dtype}, (promoted,))
            return self.reference(promoted)
        return reference

    def _by_definition(self, op: Fused, args: Sequence, static: dict) -> Any:
        """The result of the definition of a fused op, whose calls are on the tape."""
        before = self._group, self._definition
        if self._group is None:
            self._group = Group(op.name, self._names(op, args))
        is_op = hasattr(op.definition, "op")  # as that of linear: its lines are the engine's
        self._definition = None if is_op else op.definition.__code__
        self._definitions += 1
        with grad_mode(False):
            handles = [Followed(x) if is_array(x) else x for x in args]
            result = op.definition(*handles, **static)
        self._group, self._definition = before
        several = type(result) is tuple
        results = tuple(self._apart(y.data, args) for y in (result if several else (result,)))
        self._outputs = tuple(map(self.value, results))
        return results if several else results[0]

    def _names(self, op: Op, args: Sequence) -> dict[int, str]:
        """The names of the arguments of a call, by value."""
        pairs = zip(op.signature.arrays, map(raw, args))
        return {self.value(x): name for name, x in pairs if is_array(x)}

    def _apart(self, y: Any, args: Sequence) -> Any:
        """y, or a copy if it is in the memory of an argument."""
        if not any(is_array(x) and same_memory(y, x) for x in args):
            return y
        copy = y.copy()
        self.alias(copy, self.value(y))
        return copy

    def _append(self, op: Op, inputs: tuple, static: dict, outputs: Sequence) -> None:
        is_new = not all(id(y) in self._numbers for y in outputs)
        self._outputs = tuple(map(self.value, outputs))
        if is_new:  # else it has returned its argument
            self.made.update(self._outputs)
            where = self.step, self.in_walk, self._group, self._line()
            self.calls.append(Call(op, inputs, static, self._outputs, *where))

    def _line(self) -> tuple[str, int, int] | None:
        """The line of the definition that is running."""
        frame = sys._getframe(1) if self._definition else None
        while frame and frame.f_code is not self._definition:
            frame = frame.f_back
        return frame and (frame.f_code.co_filename, frame.f_lineno, self._definitions)

    def recorded(self, node):
        self._step_of[node] = self.step
        if node.num_outputs is None:
            self._of_vertex.setdefault(node, self._outputs[0])
        else:
            for i, number in enumerate(self._outputs):
                self._of_vertex.setdefault((node, i), number)

    # ------------------------------------------------------------------------ the walk

    def pulling(self, node, g, wanted):
        self._pulls += 1
        if self._pulls > 1:  # the definition of a fused op is differentiated
            return
        self.step, self.pulled_op = self._step_of.get(node), node.op
        if isinstance(node.op, Fused):
            several = isinstance(g, tuple)
            pairs = enumerate(g if several else (g,))
            names = {
                self.value(raw(x)): f"g{i}" if several else "g" for i, x in pairs if x is not None
            }
            names |= self._names(node.op, node.args)
            self._group = Group(f"{node.op.name}_backward", names)
        parts = [(node, g)] if node.num_outputs is None else []
        for key, part in parts or [((node, i), part) for i, part in enumerate(g)]:
            if part is not None and key in self._of_vertex:
                self.cotangents.setdefault(self.value(raw(part)), self._of_vertex[key])

    def pulled(self, node, g, cotangents):
        self._pulls -= 1
        if self._pulls:
            return
        self._group = None
        for parent, part in zip(node.parents, cotangents):
            if part is not None and node.op is not STAND_IN and _key(parent) in self._of_vertex:
                number = self.value(raw(part))
                self.cotangents.setdefault(number, self._of_vertex[_key(parent)])


class Followed(Tensor):
    """A tensor of which the tape knows the array.

    A constant is a frozen leaf, since the rules get constants that have no vertex as raw arrays,
    and what is computed from raw arrays alone is not observed.
    """

    __slots__ = ()

    def __init__(self, data, node=None):
        super().__init__(data, Leaf(requires_grad=False) if node is None else node)
        tape = trace_observer.get()
        if isinstance(tape, Tape):
            tape.met(self)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("what NumPy makes of a tensor is a constant, and not on the tape")


def _key(vertex: Any) -> Any:
    return (vertex.parents[0], vertex.index) if isinstance(vertex, Output) else vertex
