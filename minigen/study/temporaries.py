"""Temporaries: the memory that a call of an op takes beyond its results, measured by a repetition.

No weak reference tells of an array that an op makes and drops while it runs: packed operands,
columns of images, products of a rule. So each distinct call is repeated once, after the run, while
tracemalloc counts what NumPy allocates. That costs the run itself nothing, and kernels that were
compiled in the run are ready.
"""

import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minigen.autodiff.graph import NOT_SAVED, Leaf, Node, Spec
from minigen.autodiff.trace import observed
from minigen.backend.dtypes import NOT_ARRAYS
from minigen.parallel.deferred import deferring
from minigen.study.blocks import owner_of
from minigen.study.steps import Ref, Step, Value, references
from minigen.tensors import Tensor

PAGE = 4096  # bytes: what a call allocates below this is Python's objects, such as tuples and views
COTANGENT = -1  # the position of the cotangents, in `CallMemory.held`


class CallMemory(NamedTuple):
    """What a call takes besides its results.

    held: positions of the arguments (and `COTANGENT`) that a deferred product keeps alive until the
    next one is deferred.
    """

    temporaries: int = 0
    held: tuple[int, ...] = ()


class Repetitions:
    """Repeats calls of a run, each distinct one once. `missed` are the calls that could not be.

    Without kept values, arrays are filled with 1 (integers with 0).
    """

    def __init__(self, steps: Sequence[Step], values: Sequence[Value]):
        self.steps, self.values = steps, values
        self.missed: list[Step] = []
        self._costs: dict[Any, CallMemory | None] = {}
        self._outer = {step.inside for step in steps}  # their rules called ops, which are steps

    def cost(self, step: Step) -> CallMemory:
        """The cost of a step; none for one whose rules called ops that were recorded."""
        if step.number in self._outer:
            return CallMemory()
        key = self._key(step)
        if key not in self._costs:
            self._costs[key] = self._measured(step)
        found = self._costs[key]
        if found is None:
            self.missed.append(step)
        return found or CallMemory()

    def _key(self, step: Step) -> Any:
        call = step if step.kind == "forward" else self._call(step)
        if call is None:
            return "a call before the recording"
        numbers = (*step.inputs, *step.outputs, *call.outputs)
        args = tuple(map(self._described, (*call.args, *map(Ref, numbers))))
        static = tuple((name, self._described(x)) for name, x in sorted(call.static.items()))
        return step.kind, call.declaration, args, static, call.tracked, step.wanted

    def _described(self, x: Any) -> Any:
        if isinstance(x, Ref):
            value = self.values[x.number]
            return value.shape, str(value.dtype), value.strides
        if isinstance(x, dict):
            x = tuple(x.items())
        return tuple(map(self._described, x)) if isinstance(x, tuple | list) else repr(x)

    def _call(self, step: Step) -> Step | None:
        return None if step.call is None else self.steps[step.call]

    def _measured(self, step: Step) -> CallMemory | None:
        """The cost of a step; None if it cannot be repeated."""
        call = step if step.kind == "forward" else self._call(step)
        if call is None or call.declaration is None:
            return None
        numbers = *references((call.args, call.static)), *step.inputs
        if any(self.values[n].device != "cpu" for n in numbers):
            return None
        measure = self._forward if step.kind == "forward" else self._backward
        try:
            with observed(None), tracing(), np.errstate(all="ignore"):
                first = measure(step, call)
                # A first call may fill caches, which are no temporaries.
                return min(first, measure(step, call)) if first.temporaries else first
        except Exception:  # an op may refuse arrays of ones: they have no inverse, for example
            return None

    def _forward(self, step: Step, call: Step) -> CallMemory:
        args, static = self._arguments(call)
        op, before = call.declaration, set(_owners(args))
        (arrays, result), peak = peak_of(lambda: _forward(op, args, static))
        return CallMemory(_beyond(peak, (result, arrays), before))

    def _backward(self, step: Step, call: Step) -> CallMemory:
        with deferring() as later:
            temporaries, operands = self._pull(step, call)
            if not later.unfinished:
                return CallMemory(temporaries)
            return CallMemory(temporaries, tuple(i for i, x in operands if x() is not None))

    def _pull(self, step: Step, call: Step) -> tuple[int, list[tuple[int, weakref.ref]]]:
        """(temporaries, weak references to the arguments and the cotangent by position)."""
        args, static = self._arguments(call)
        op = call.declaration
        arrays, result = _forward(op, args, static)
        y, residuals = result if op.has_residuals else (result, None)
        save_y, save_args = op.must_save(call.tracked)
        saved = [
            x if save or type(x) in NOT_ARRAYS else Spec(x) for x, save in zip(arrays, save_args)
        ]
        parents = [Leaf() if w else None for w in step.wanted]
        number = len(y) if type(y) is tuple else None
        node = Node(op, parents, saved, y if save_y else NOT_SAVED, residuals, static, number)
        g = self._cotangent(step, call, number)
        before = set(_owners((saved, y, residuals, g)))
        found, peak = peak_of(lambda: op.pull(g, node, list(step.wanted), Tensor, False))
        operands = [
            (i, weakref.ref(owner_of(x)))
            for i, x in ((COTANGENT, g), *enumerate(arrays))
            if isinstance(x, np.ndarray)
        ]
        return _beyond(peak, found, before), operands

    def _cotangent(self, step: Step, call: Step, number: int | None) -> Any:
        """g as the rules get it: for a call with several results a tuple, with None for some."""
        if number is None:
            return self._array(step.inputs[0])
        by_output = {self.values[g].of: g for g in step.inputs}
        return tuple(self._array(by_output[y]) if y in by_output else None for y in call.outputs)

    def _arguments(self, call: Step) -> tuple[list, dict[str, Any]]:
        """Arrays like the arguments of a call."""
        made: dict[int, np.ndarray] = {}
        return [self._filled(x, made) for x in call.args], self._filled(call.static, made)

    def _filled(self, x: Any, made: dict[int, np.ndarray]) -> Any:
        """A nest of arguments with an array for each Ref, one for each value."""
        if isinstance(x, Ref):
            if x.number not in made:
                made[x.number] = self._array(x.number)
            return made[x.number]
        if isinstance(x, dict):
            return {name: self._filled(part, made) for name, part in x.items()}
        if isinstance(x, tuple | list):
            parts = [self._filled(part, made) for part in x]
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
        return x

    def _array(self, number: int) -> np.ndarray:
        """An array of the shape, dtype and strides of a value, with its contents if it has them."""
        value = self.values[number]
        array = blank(value.shape, value.dtype, value.strides)
        array[...] = value.array if value.array is not None else value.dtype.kind not in "iu"
        return array


def blank(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> np.ndarray:
    """An array with these strides, in memory that just holds it."""
    if 0 in shape or len(strides) != len(shape):
        return np.empty(shape, dtype)
    ends = [(n - 1) * stride for n, stride in zip(shape, strides)]
    before = -sum(end for end in ends if end < 0)
    length = before + sum(end for end in ends if end > 0) + np.dtype(dtype).itemsize
    return np.ndarray(shape, dtype, np.zeros(length, np.uint8), before, strides)


@contextmanager
def tracing() -> Iterator[None]:
    """A context in which tracemalloc is on. If it was on before, its peak is lost."""
    was_on = tracemalloc.is_tracing()
    if not was_on:
        tracemalloc.start()
    try:
        yield
    finally:
        if not was_on:
            tracemalloc.stop()


def peak_of(function: Callable[[], Any]) -> tuple[Any, int]:
    """(what function returns, the most bytes that it had allocated at one time)."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    result = function()
    return result, tracemalloc.get_traced_memory()[1] - before


def _forward(op: Any, args: list, static: dict) -> tuple[Any, Any]:
    """(the arguments as forward got them, what it returned)."""
    arrays = op.prepare(args)
    return arrays, op.forward(*arrays, **static)


def _beyond(peak: int, results: Any, before: set[int]) -> int:
    """The part of a peak that is not the memory of new arrays in results."""
    new = [x for key, x in _owners(results).items() if key not in before]
    temporaries = peak - sum(x.nbytes for x in new)
    return temporaries if temporaries >= PAGE else 0


def _owners(tree: Any) -> dict[int, Any]:
    """The arrays that own the memory of those in a nest, by id."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, tuple | list):
        return {key: x for part in tree for key, x in _owners(part).items()}
    owner = owner_of(tree)
    return {id(owner): owner} if isinstance(owner, np.ndarray) else {}
