"""Runs a recording again, on a tape: the forward steps, and each backward pass with create_graph.

What comes out is straight-line: calls of ops whose results are named by numbers, the outputs of
the program, and the gradient of each leaf.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autodiff.fused import Fused
from minigen.autodiff.grad_modes import grad_mode
from minigen.autodiff.graph import Leaf
from minigen.autodiff.primitives import Op
from minigen.autodiff.trace import observed
from minigen.autodiff.walk import walk
from minigen.backend.devices import to_numpy
from minigen.study.programs.tape import Call, Followed, Tape
from minigen.study.steps import Pass, Ref, Step, Value, references


@dataclass(eq=False)
class Program:
    """Calls in order; arguments, gradients: names to numbers of values; arrays: of the values."""

    calls: list[Call]
    arrays: list[Any]
    arguments: dict[str, int]
    outputs: list[int]
    gradients: dict[str, int]
    cotangents: dict[int, int]  # value -> the value whose cotangent it is


def replayed(steps: Sequence[Step], values: Sequence[Value], passes: Sequence[Pass]) -> Program:
    """The program of a recording.

    ValueError if the recording has no values, or a backward pass through what ran before it;
    TypeError for a derivative rule, or a definition of a fused op, that does not run on tensors.
    """
    with observed(Tape()) as tape, np.errstate(all="ignore"):
        return _Replay(tape, steps, values, passes).program()


class _Replay:
    def __init__(self, tape: Tape, steps: Sequence[Step], values: Sequence[Value], passes):
        self.tape, self.steps, self.values, self.passes = tape, steps, values, passes
        tracked = {
            x.number for step in steps for x, t in zip(step.args, step.tracked) if t and _is_ref(x)
        }
        self.arguments = [value for value in values if value.name is not None]
        _check(steps, self.arguments)
        self.handles: dict[int, Any] = {}
        for value in self.arguments:
            array = to_numpy(value.array)
            leaf = Leaf(value.number in tracked or value.role == "parameter")
            self.handles[value.number] = Followed(array, leaf)
        self.totals: dict[int, Any] = {}  # leaf -> what `.backward()` has added up
        self.found: dict[int, Any] = {}  # leaf -> what the last `mg.grad` has found
        self.roots: list[tuple[Pass, list[int], set[int]]] = []

    def program(self) -> Program:
        waiting = list(self.passes)
        for i, step in enumerate(self.steps):
            while waiting and waiting[0].first <= i:
                self._walk(waiting.pop(0))
            if step.kind == "forward" and step.inside is None and step.backward_pass is None:
                self._call(step)
        for backward_pass in waiting:
            self._walk(backward_pass)
        gradients = self.totals if any(p.inputs is None for p in self.passes) else self.found
        return Program(
            self.tape.calls,
            self.tape.arrays,
            {value.name: self._number(value.number) for value in self.arguments},
            self._outputs(),
            {
                value.name: self.tape.value(gradients[value.number].data)
                for value in self.arguments
                if value.number in gradients
            },
            self.tape.cotangents,
        )

    def _number(self, value: int) -> int:
        return self.tape.value(self.handles[value].data)

    def _call(self, step: Step) -> None:
        self.tape.step, self.tape.in_walk = step, False
        args = [
            self._argument(x, tracked) if _is_ref(x) else x
            for x, tracked in zip(step.args, step.tracked)
        ]
        static = {name: self._static(x) for name, x in step.static.items()}
        if step.op == "to_device":  # the replay has all arrays on the CPU
            result = args[0]
        else:
            try:
                with grad_mode(step.recorded):
                    result = step.declaration.function(*args, **static)
            except Exception as error:
                raise _not_of_ops(step.declaration) from error
        results = result if type(result) is tuple else (result,)
        self.handles.update(zip(step.outputs, results))

    def _argument(self, ref: Ref, tracked: bool) -> Any:
        handle = self.handles[ref.number]
        return handle if tracked or not handle.requires_grad else Followed(handle.data)

    def _static(self, tree: Any) -> Any:
        if _is_ref(tree):
            return self.handles[tree.number].data
        return type(tree)(map(self._static, tree)) if isinstance(tree, tuple | list) else tree

    def _walk(self, current: Pass) -> None:
        """Run a backward pass again, and keep the gradients that it finds."""
        self.tape.in_walk = True
        roots = []
        for root, start in current.roots:
            if root is None:
                raise _ran_before()
            y = self.handles[root]
            g = Followed(np.ones_like(y.data)) if start is None else self.handles[start]
            roots.append((y.node, g))
        inputs = current.inputs and {self.handles[n].node for n in current.inputs}
        try:
            found = walk(roots, inputs, Followed, create_graph=True)
        except Exception as error:
            if self.tape.pulled_op is None:
                raise
            raise _not_of_ops(self.tape.pulled_op) from error
        self.roots.append((current, [n for n, _ in current.roots if n is not None], set()))
        for leaf, gradient in current.gradients.items():
            g = found.get(self.handles[leaf].node)
            if g is None:
                continue
            g = g if current.create_graph else Followed(g.data)
            self.handles[gradient] = g
            self.roots[-1][2].add(self.tape.value(g.data))
            if current.inputs is not None:
                self.found[leaf] = g
            else:
                before = self.totals.get(leaf) if leaf in current.added else None
                self.totals[leaf] = g = g if before is None else before + g
            self.tape.cotangents.setdefault(self.tape.value(g.data), self._number(leaf))

    def _outputs(self) -> list[int]:
        """The values from which backward was called; without any, the last ones made."""
        if not self.roots:
            made = [step for step in self.steps if step.kind == "forward"]
            return [self._number(n) for n in made[-1].outputs] if made else []
        chosen = [entry for entry in self.roots if entry[0].inputs is None]
        if not chosen:
            used = set()
            for _, roots, _ in self.roots:
                used |= ancestors(self.tape.calls, map(self._number, roots))
            chosen = [entry for entry in self.roots if not entry[2] & used] or self.roots
        return list(dict.fromkeys(self._number(n) for _, roots, _ in chosen for n in roots))


def ancestors(calls: Sequence[Call], numbers) -> set[int]:
    """The values, and all from which they are computed."""
    needed = set(numbers)
    for call in reversed(calls):
        if not needed.isdisjoint(call.outputs):
            needed.update(references((call.inputs, call.static)))
    return needed


def _is_ref(x: Any) -> bool:
    return type(x) is Ref


def _check(steps: Sequence[Step], arguments: Sequence[Value]) -> None:
    if any(value.array is None for value in arguments):
        raise ValueError(
            "source() runs the recording again, for which it needs the values: record with "
            "study.record(values=True), and with a higher limit if it was reached"
        )
    if any(step.kind == "backward" and step.call is None for step in steps):
        raise _ran_before()


def _ran_before() -> ValueError:
    return ValueError(
        "source() cannot show a backward pass through ops that ran before the recording or in "
        "another thread: put the forward pass inside `with study.record()` too"
    )


def _not_of_ops(op: Op) -> TypeError:
    part = "definition" if isinstance(op, Fused) else "derivative rule"
    return TypeError(
        f"source() cannot write op {op.name!r}, as its {part} does not run on tensors: write it "
        "with functions of minigen, as mg.cos for np.cos"
    )
