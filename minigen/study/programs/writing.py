"""Writes a program as text: a function of NumPy, a statement a line, with the user's code above."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigen.study.programs.arguments import Arguments
from minigen.study.programs.constants import array_text
from minigen.study.programs.factors import with_factors
from minigen.study.programs.naming import Names, user_line
from minigen.study.programs.numpy_lines import HELPERS, numpy_line
from minigen.study.programs.operands import Written
from minigen.study.programs.replay import Program
from minigen.study.programs.tape import Call
from minigen.study.steps import references

WIDTH = 100  # columns
INLINE = 32  # characters of the longest expression that may become part of another one
INDENT = "    "


class Function:
    """What stands in a call for an op, where the program calls a function that it defines."""

    def __init__(self, name: str):
        self.name = name


class Writer:
    """The statements of a program, in `body`, and the functions that they call, in `helpers`.

    notes: whether lines have comments, the user's code and shapes. taken: names of functions.
    named: names of values that are not in the program, but whose cotangents are.
    """

    def __init__(
        self,
        program: Program,
        taken: Iterable[str],
        notes: bool = True,
        named: Mapping[int, str] | None = None,
    ):
        self.program, self.arrays, self.notes = program, program.arrays, notes
        self.names = Names(program, set(taken), named)
        self.arguments = Arguments(program, self.names)
        self.results = {*program.outputs, *program.gradients.values()}
        self.users: dict[int, Call] = {}  # value -> the last call that uses it
        for call in program.calls:
            numbers = references((call.inputs, call.static))
            self.users.update(dict.fromkeys(numbers, call))
        cotangents, made = program.cotangents, self.arguments.made
        self.has_cotangent = {cotangents[n] for n in made if n in cotangents}
        self.main = main_dtype([self.arrays[n] for n in sorted(made)])
        self.body: list[str] = []
        self.helpers: dict[str, None] = {}
        self._block: Any = None
        for call in program.calls:
            self._add(call)
        constants = (
            self._statement(f"{name} = {array_text(self.arrays[n])}", [n])
            for name, n in self.arguments.constants
        )
        self.body[:0] = constants

    def final(self, number: int) -> str:
        """A value that the program returns."""
        if number in self.arguments.made:
            return self.names.name(number)
        return array_text(self.arrays[number])

    # ---------------------------------------------------------------------- statements

    def _add(self, call: Call) -> None:
        """Write a call as a statement, or keep it as an expression for its only use."""
        line = self._line(call)
        if self._may_wait(call, line):
            self.arguments.waiting[call.outputs[0]] = call, line
        else:
            self._state(call, line)

    def _may_wait(self, call: Call, line: Written) -> bool:
        number = call.outputs[0]
        return (
            len(call.outputs) == 1
            and len(line.text) <= INLINE
            and self.arguments.uses[number] == 1
            and number not in self.results
            and (number not in self.has_cotangent or call.op.name == "transpose")
            and not self.names.is_cotangent(number)
            and _block(self.users[number]) == _block(call)
        )

    def _state(self, call: Call, line: Written) -> None:
        self._head(call)
        self.helpers.update(dict.fromkeys(line.helpers))
        uses = self.arguments.uses
        names = [self.names.name(n, call) if uses[n] else "_" for n in call.outputs]
        comma = "," if call.op.name == "split" and len(names) == 1 else ""
        code = f"{', '.join(names)}{comma} = {with_factors(line.text, self.main)}"
        self.body.append(self._statement(code, [n for n in call.outputs if uses[n]]))

    def _statement(self, code: str, numbers: Sequence[int]) -> str:
        """The line, with shapes, and dtypes other than the main one, as a comment that fits."""
        facts = []
        for array in (self.arrays[n] for n in numbers):
            dtype = "" if array.dtype == self.main else f" {array.dtype}"
            facts.append(f"{array.shape}{dtype}")
        line, note = f"{INDENT}{code}", f"  # {', '.join(dict.fromkeys(facts))}"
        if len(line) > WIDTH:
            target, _, expression = code.partition(" = ")
            if "," in target:
                line = f"{INDENT}({target})\0=\0{expression}"  # a \0 is a space without a break
                return wrapped(line, INDENT * 2).replace("\0", " ")
            inner = wrapped(f"{INDENT * 2}{expression}", INDENT * 2)
            return f"{INDENT}{target} = (\n{inner}\n{INDENT})"
        return line + note if self.notes and len(line + note) <= WIDTH else line

    def _head(self, call: Call) -> None:
        """The comment above a block of statements: the user's line."""
        if not self.notes or _block(call) == self._block:
            return
        self._block = _block(call)
        code = call.step.code.replace("minigen.", "").replace("minigen", "mg") if call.step else ""
        if code:
            text = f"{'backward of: ' if call.is_backward else ''}{code}"
            self.body.append(f"{INDENT}# {textwrap.shorten(text, WIDTH - 6, placeholder=' ...')}")

    # --------------------------------------------------------------------- expressions

    def _line(self, call: Call) -> Written:
        """The expression of a call; arguments that it has twice, or is too long with, get names."""
        waiting = self.arguments.waiting  # of other calls, until this one has used them
        while True:
            line = self._expression(call)
            used = [n for n in references((call.inputs, call.static)) if n in waiting]
            named = self._repeated(call, used)
            if used and not named and len(line.text) > WIDTH - 20:
                named = [max(used, key=lambda n: len(waiting[n][1].text))]
            if not named:
                helpers = [name for n in used for name in waiting.pop(n)[1].helpers]
                return line._replace(helpers=(*helpers, *line.helpers))
            for n in named:
                self._state(*waiting.pop(n))

    def _expression(self, call: Call) -> Written:
        args, static = self.arguments.of_call(call), self.arguments.static(call.static)
        if isinstance(call.op, Function):
            return Written(f"{call.op.name}({', '.join(x.text for x in args)})")
        outputs = [(self.arrays[n].shape, self.arrays[n].dtype) for n in call.outputs]
        return numpy_line(call.op, args, static, outputs)

    def _repeated(self, call: Call, waiting: list[int]) -> list[int]:
        """The waiting values that the expression of a call does not have exactly once."""
        if not waiting:
            return []
        lines = self.arguments.waiting
        markers = {n: f"argument_{i}_" for i, n in enumerate(waiting)}
        self.arguments.waiting = {n: (call, Written(text)) for n, text in markers.items()}
        text = self._expression(call).text
        self.arguments.waiting = lines
        return [n for n, marker in markers.items() if text.count(marker) != 1]


def _block(call: Call) -> tuple:
    """The user's line, and whether it is backward: what has one comment."""
    return user_line(call), call.is_backward


def program_of(writer: Writer, functions: Iterable[str], helpers: Iterable[str]) -> str:
    """The text of a program: imports, the functions that it calls, then step."""
    program = writer.program
    arguments = ", ".join(program.arguments)
    outputs = ", ".join(map(writer.final, program.outputs))
    pairs = [(f'"{name}":', writer.final(n)) for name, n in program.gradients.items()]
    gradients = (  # a \0 is a space at which no line is broken
        f"{name}\0{g}" if len(name + g) < WIDTH - 10 else f"{name} {g}" for name, g in pairs
    )
    result = f"{INDENT}return [{outputs}], {{{', '.join(gradients)}}}"
    step = [
        wrapped(f"def step({f'*, {arguments}' if arguments else ''}):", " " * 9),
        *writer.body,
        wrapped(result, INDENT * 2).replace("\0", " "),
    ]
    names = dict.fromkeys([*helpers, *writer.helpers])
    parts = [*(HELPERS[name].strip() for name in names), *functions, "\n".join(step)]
    whole = "\n\n\n".join(parts)
    for name in program.arguments:  # a function with the name of an array gets another one
        if name != "step" and f"def {name}(" in whole:
            whole = re.sub(rf"(?<![\w.]){name}(?=\()", f"{name}_of", whole)
    imports = "import math\n\n" if re.search(r"\bmath\.", whole) else ""
    return f"{imports}import numpy as np\n\n\n{whole}\n"


def main_dtype(arrays: list) -> Any:
    """The float dtype of most arrays; float64 if there are none."""
    found = Counter(a.dtype for a in arrays if a.dtype.kind == "f")
    return found.most_common(1)[0][0] if found else np.dtype(np.float64)


def wrapped(line: str, indent: str) -> str:
    """The line, broken at spaces if it is too long: where it has them, it is inside brackets."""
    options: Any = {"break_long_words": False, "break_on_hyphens": False}
    return "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent=indent, **options))
