"""The text of a recording's program; with `fused`, its fused ops are functions that it defines."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from minigen.study.programs.naming import unused
from minigen.study.programs.numpy_lines import HELPERS
from minigen.study.programs.replay import Program, references, replayed
from minigen.study.programs.simplify import simplified
from minigen.study.programs.tape import Call, Group
from minigen.study.programs.writing import INDENT, WIDTH, Function, Writer, program_of, wrapped
from minigen.study.steps import Pass, Ref, Step, Value


def program_text(
    steps: Sequence[Step], values: Sequence[Value], passes: Sequence[Pass], fused: bool
) -> str:
    """The program of a recording, which defines `step`: see `Recording.source`."""
    program = simplified(replayed(steps, values, passes))
    functions = Functions()
    if fused:
        program = functions.outlined(program)
    writer = Writer(program, {*HELPERS, *functions.texts})
    return program_of(writer, functions.texts.values(), functions.helpers)


class Functions:
    """The functions that stand for the calls of fused ops: texts by name, and their helpers.

    Calls with the same text share a function.
    """

    def __init__(self):
        self.texts: dict[str, str] = {}
        self.helpers: dict[str, None] = {}
        self._names: dict[tuple[str, str], str] = {}  # name of the op, text -> name

    def outlined(self, program: Program) -> Program:
        """The program, with one call in place of those of each group."""
        results = {*program.outputs, *program.gradients.values()}
        calls: list[Call] = []
        for group, part in itertools.groupby(program.calls, lambda call: call.group):
            inner = [*part]
            if group is None:
                calls += inner
                continue
            used = results.union(
                *(references((c.inputs, c.static)) for c in program.calls if c not in set(inner))
            )
            calls.append(self._call(program, group, inner, used))
        return replace(program, calls=calls)

    def _call(self, program: Program, group: Group, calls: list[Call], used: set[int]) -> Call:
        """The call of the function that computes what the calls do, of which some is used."""
        made = [n for call in calls for n in call.outputs]
        outputs = [n for n in made if n in used]
        variable = set(program.arguments.values()).union(*(c.outputs for c in program.calls))
        needed = dict.fromkeys(n for c in calls for n in references((c.inputs, c.static)))
        inputs = [n for n in needed if n in variable and n not in made]
        name = self._function(program, group, calls, inputs, outputs)
        first = calls[0]
        refs = tuple(map(Ref, inputs))
        return Call(Function(name), refs, {}, tuple(outputs), first.step, first.is_backward)

    def _function(self, program, group, calls, inputs, outputs) -> str:
        """The name of the function of a group, which is defined unless there is one like it."""
        taken: set[str] = set()
        arguments = {unused(group.names.get(n, "t"), taken): n for n in inputs}
        part = Program(calls, program.arrays, arguments, outputs, {}, program.cotangents)
        writer = Writer(part, HELPERS, notes=False)
        results = ", ".join(map(writer.final, outputs))
        results = results if len(results) < WIDTH - 20 else f"({results})"
        body = "\n".join([*writer.body, wrapped(f"{INDENT}return {results}", INDENT * 2)])
        head = f"({', '.join(arguments)}):"
        key = group.name, head + body
        if key not in self._names:
            name = self._names[key] = unused(group.name, {*HELPERS, *self.texts})
            definition = wrapped(f"def {name}{head}", INDENT * 2)
            self.texts[name] = f"{definition}\n{body}"
            self.helpers.update(writer.helpers)
        return self._names[key]
