"""Makes a program shorter without changing what it computes.

Common subexpressions are computed once, what nothing needs is dropped, and so is arithmetic that
has no effect: a product with the 1 that a walk starts from, a reshape to the same shape, a
broadcast that NumPy makes by itself. Sums and products are not reordered.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minigen.autodiff.primitives import REGISTRY
from minigen.study.programs.replay import Program, ancestors
from minigen.study.programs.tape import Call
from minigen.study.steps import Ref, references

SAME_IF_SHAPES_AGREE = frozenset(
    ("reshape", "broadcast_to", "sum_to", "crop", "pad", "astype", "to_device", "copied", "clone")
)
COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))
BROADCASTING = COMPARISONS | {
    *("add", "subtract", "multiply", "divide", "where", "maximum", "minimum"),
    *("logical_and", "logical_or", "bitwise_and", "bitwise_or"),
}
SMALL = 16  # the largest number of values of a constant that is computed in advance


def simplified(program: Program) -> Program:
    """A program with fewer calls."""
    work = _Work(program)
    for call in program.calls:
        work.add(call)
    outputs = [work.current(n) for n in program.outputs]
    gradients = {name: work.current(n) for name, n in program.gradients.items()}
    for group in {call.group for call in work.calls if call.group}:
        group.names = {work.current(n): name for n, name in group.names.items()}
    calls = needed_calls(work.calls, [*outputs, *gradients.values()])
    cotangents = work.cotangents(program.cotangents)
    return Program(calls, program.arrays, program.arguments, outputs, gradients, cotangents)


def needed_calls(calls: Sequence[Call], numbers: Sequence[int]) -> list[Call]:
    """The calls from which values are computed, in their order."""
    needed = ancestors(calls, numbers)
    return [call for call in calls if not needed.isdisjoint(call.outputs)]


def uniform(array: Any) -> Any:
    """The number that all values of a constant are, as Python's; None if they differ."""
    if array.size == 0:
        return None
    first = array.reshape(-1)[0]
    same = bool((array == first).all()) or bool((array != array).all())
    return first.item() if same else None


class _Work:
    """The calls so far, and what values have become."""

    def __init__(self, program: Program):
        self.arrays, self.calls = program.arrays, []
        self.variable = set(program.arguments.values())  # arguments and results: no constants
        self.maker: dict[int, Call] = {}
        self._current: dict[int, int] = {}
        self._seen: dict[Any, tuple[int, ...]] = {}  # key of a call or a constant -> values

    def current(self, number: int) -> int:
        """The value that stands for a value now."""
        while number in self._current:
            number = self._current[number]
        if number in self.variable:
            return number
        array = self.arrays[number]
        key = array.shape, array.dtype, array.tobytes()
        return self._seen.setdefault(key, (number,))[0]

    def cotangents(self, before: Mapping[int, int]) -> dict[int, int]:
        """The values that are cotangents, and of what; none that a forward pass has made.

        In (a * b).sum() the cotangent of a is b and that of b is a, which would name neither.
        """
        after: dict[int, int] = {}
        for g, of in before.items():
            g, of = self.current(g), self.current(of)
            source: int | None = of
            while source is not None and source != g:
                source = after.get(source)
            if source is None and g in self.maker and self.maker[g].is_backward:
                after.setdefault(g, of)
        return after

    def add(self, call: Call) -> None:
        """Add a call, or something simpler that computes the same."""
        inputs, static = (renumbered(tree, self.current) for tree in (call.inputs, call.static))
        call = replace(call, inputs=inputs, static=static)
        if self._is_constant(call):
            return
        for rule in (self._merged, self._one_factor, self._without_effect):
            found = rule(call)
            if isinstance(found, int):
                self._current[call.outputs[0]] = found
                return
            call = found or call
        call = self._without_broadcasts(call)
        key = id(call.op), repr(call.inputs), repr(call.static)
        earlier = self._seen.setdefault(key, call.outputs)
        if earlier is not call.outputs:
            self._current.update(zip(call.outputs, earlier))
            return
        self.calls.append(call)
        self.variable.update(call.outputs)
        self.maker.update(dict.fromkeys(call.outputs, call))

    def _is_constant(self, call: Call) -> bool:
        """Whether its result depends on no argument, and is small or has one value."""
        if any(n in self.variable for n in references((call.inputs, call.static))):
            return False
        results = [self.arrays[n] for n in call.outputs]
        return all(y.size <= SMALL or uniform(y) is not None for y in results)

    def _made_by(self, x: Any, name: str) -> Call | None:
        """The call that made x, if it is one of the op of that name."""
        call = self.maker.get(x.number) if type(x) is Ref else None
        return call if call is not None and call.op.name == name else None

    def _merged(self, call: Call) -> Call | None:
        """One reshape for two, one transpose for two."""
        if call.op.name not in ("reshape", "transpose"):
            return None
        inner = self._made_by(call.inputs[0], call.op.name)
        if inner is None or inner.group is not call.group:
            return None
        if call.op.name == "reshape":
            return replace(call, inputs=inner.inputs)
        ndim = self._array(call.inputs[0]).ndim
        first, second = (_order(c.static["axes"], ndim) for c in (inner, call))
        axes = tuple(first[i] for i in second)
        return replace(call, inputs=inner.inputs, static={"axes": axes})

    def _one_factor(self, call: Call) -> Call | None:
        """One product for two with numbers, of which one is a power of two: that is exact."""
        if call.op.name != "multiply":
            return None
        for outer, x in (call.inputs, call.inputs[::-1]):
            inner = self._made_by(x, "multiply")
            if inner is None or self._number(outer) is None:
                continue
            for factor, y in (inner.inputs, inner.inputs[::-1]):
                numbers = self._number(factor), self._number(outer)
                if numbers[0] is None or not any(map(_is_power_of_two, numbers)):
                    continue
                result = self.arrays[call.outputs[0]]
                if self._array(y).shape == result.shape and self._array(y).dtype == result.dtype:
                    product = result.dtype.type(numbers[0]) * result.dtype.type(numbers[1])
                    return replace(call, inputs=(y, product.item()))
        return None

    def _array(self, x: Any) -> Any:
        return self.arrays[x.number] if type(x) is Ref else x

    def _without_effect(self, call: Call) -> Call | int | None:
        """The value that a call returns unchanged, or a call that broadcasts it."""
        name, result = call.op.name, self.arrays[call.outputs[0]]
        kept: Any = None
        if name in SAME_IF_SHAPES_AGREE and len(call.outputs) == 1:
            kept = call.inputs[0]
            if self._array(kept).shape != result.shape:
                return None
        elif name == "transpose" and type(call.inputs[0]) is Ref:
            ndim = result.ndim
            kept = call.inputs[0] if _order(call.static["axes"], ndim) == [*range(ndim)] else None
        elif name in ("multiply", "divide", "add"):
            neutral = 0 if name == "add" else 1
            for x, other in (call.inputs, call.inputs[::-1]):
                if type(x) is Ref and self._number(other) == neutral:
                    kept = x
                    break
                if name == "divide":
                    break
        if kept is None or self._array(kept).dtype != result.dtype:
            return None
        if self._array(kept).shape == result.shape:
            return kept.number
        static = {"shape": result.shape}
        return replace(call, op=REGISTRY["broadcast_to"], inputs=(kept,), static=static)

    def _number(self, x: Any) -> Any:
        """The number that an argument is: Python's, or that of a constant."""
        if type(x) is not Ref:
            return x
        return None if x.number in self.variable else uniform(self.arrays[x.number])

    def _without_broadcasts(self, call: Call) -> Call:
        """The call with arguments as they were before they were broadcast, if NumPy does that."""
        if call.op.name not in BROADCASTING:
            return call
        inputs, shape = list(call.inputs), self.arrays[call.outputs[0]].shape
        for i, x in enumerate(inputs):
            inner = self._made_by(x, "broadcast_to")
            if inner is not None:
                shorter = [*inputs[:i], inner.inputs[0], *inputs[i + 1 :]]
                if np.broadcast_shapes(*(np.shape(self._array(x)) for x in shorter)) == shape:
                    inputs = shorter
        return replace(call, inputs=tuple(inputs))


def _is_power_of_two(x: Any) -> bool:
    return type(x) in (int, float) and math.frexp(x)[0] == 0.5


def _order(axes: Any, ndim: int) -> list[int]:
    """The axes of a transpose as numbers from 0."""
    return [axis % ndim for axis in axes] if axes else [*range(ndim)][::-1]


def renumbered(tree: Any, current: Callable[[int], int]) -> Any:
    """A nest of arguments with the value current(n) in place of each value n."""
    if type(tree) is Ref:
        return Ref(current(tree.number))
    if isinstance(tree, dict):
        return {name: renumbered(x, current) for name, x in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(renumbered(x, current) for x in tree)
    return tree
