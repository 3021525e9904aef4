"""The arguments of calls as text: names, numbers, constants, expressions that wait for a use."""

from collections import Counter
from typing import Any

import numpy as np

from minigen.study.programs.constants import (
    LITERAL,
    array_text,
    number_operand,
    shortened,
    typed_number,
)
from minigen.study.programs.naming import Names
from minigen.study.programs.operands import Operand, Written
from minigen.study.programs.replay import Program
from minigen.study.programs.simplify import BROADCASTING, uniform
from minigen.study.programs.tape import Call
from minigen.study.steps import Ref, references


class Arguments:
    """Operands of the calls of a program; `constants` are pairs (name, value) to define first."""

    def __init__(self, program: Program, names: Names):
        self.arrays, self.names = program.arrays, names
        self.made = {n for call in program.calls for n in call.outputs}
        self.made.update(program.arguments.values())
        self.uses = Counter([*program.outputs, *program.gradients.values()])
        for call in program.calls:
            self.uses.update(references((call.inputs, call.static)))
        self.waiting: dict[int, tuple[Call, Written]] = {}  # expressions that are not yet used
        self.constants: list[tuple[str, int]] = []
        self._named: dict[int, str] = {}  # constants that have a name

    def of_call(self, call: Call) -> list[Operand]:
        """The operands of a call."""
        if call.op.name in BROADCASTING:
            return self._broadcast(call)
        return [self.operand(x) for x in call.inputs]

    def operand(self, x: Any) -> Operand:
        """The operand of an argument."""
        if type(x) is not Ref:
            return number_operand(x)
        array = self.arrays[x.number]
        if x.number in self.waiting:
            text = self.waiting[x.number][1].text
        elif x.number in self.made:
            text = self.names.name(x.number)
        else:
            text = self._constant(x.number)
        return Operand(text, array.shape, array.dtype)

    def _constant(self, number: int) -> str:
        """The name of a constant, or its text if that is short and used once."""
        if number in self._named:
            return self._named[number]
        text = array_text(self.arrays[number])
        if len(text) <= LITERAL and self.uses[number] <= 1:
            return text
        name = self._named[number] = self.names.name(number)
        self.constants.append((name, number))
        return name

    def static(self, tree: Any) -> Any:
        """Static arguments, with operands for arrays."""
        if type(tree) is Ref:
            return self.operand(tree)
        if isinstance(tree, dict):
            return {name: self.static(x) for name, x in tree.items()}
        return type(tree)(map(self.static, tree)) if isinstance(tree, tuple | list) else tree

    def _broadcast(self, call: Call) -> list[Operand]:
        """Operands with a number for a constant array of one value, where NumPy spreads it."""
        result = self.arrays[call.outputs[0]]
        numbers = {
            i: uniform(self.arrays[x.number])
            for i, x in enumerate(call.inputs)
            if type(x) is Ref and x.number not in self.made
        }
        numbers = {i: number for i, number in numbers.items() if number is not None}
        operands = {i: self.operand(x) for i, x in enumerate(call.inputs) if i not in numbers}
        shapes = {i: np.shape(self._array(x)) for i, x in enumerate(call.inputs)}
        values = [x for i, x in operands.items() if i or call.op.name != "where"]
        dtypes = {x.dtype for x in values if x.dtype is not None}
        for i, number in numbers.items():
            array, others = self._array(call.inputs[i]), {**shapes, i: ()}
            if np.broadcast_shapes(*others.values()) != result.shape:
                operands[i] = self.operand(call.inputs[i])
                continue
            shapes = others
            if dtypes == {array.dtype} and (i or call.op.name != "where"):
                operands[i] = number_operand(shortened(number, array.dtype))
            else:
                operands[i] = typed_number(number, array.dtype)
        return [operands[i] for i in range(len(call.inputs))]

    def _array(self, x: Any) -> Any:
        return self.arrays[x.number] if type(x) is Ref else x
