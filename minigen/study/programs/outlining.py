"""The text of a recording's program; with `fused`, its fused ops are functions that it defines."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from minigen.study.programs.naming import unused
from minigen.study.programs.numpy_lines import HELPERS, helper_names
from minigen.study.programs.replay import Program, replayed
from minigen.study.programs.simplify import simplified
from minigen.study.programs.tape import Call, Group
from minigen.study.programs.writing import INDENT, WIDTH, Function, Writer, program_of, wrapped
from minigen.study.steps import Pass, Ref, Step, Value, references


def program_text(
    steps: Sequence[Step], values: Sequence[Value], passes: Sequence[Pass], fused: bool
) -> str:
    """The program of a recording, which defines `step`: see `Recording.source`."""
    program = simplified(replayed(steps, values, passes))
    helper_names()  # HELPERS has all of them now, so that no value gets the name of one
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
        users: dict[int, set] = {n: {None} for n in results}  # value -> the groups that read it
        for call in program.calls:
            for n in references((call.inputs, call.static)):
                users.setdefault(n, set()).add(call.group)
        variable = {*program.arguments.values(), *(n for c in program.calls for n in c.outputs)}
        calls: list[Call] = []
        for group, part in itertools.groupby(program.calls, lambda call: call.group):
            if group is None:
                calls += part
            else:
                calls.append(self._call(program, group, [*part], users, variable))
        return replace(program, calls=calls)

    def _call(
        self, program: Program, group: Group, calls: list[Call], users: dict, variable: set[int]
    ) -> Call:
        """The call of the function that computes what the calls of a group do."""
        made = [n for call in calls for n in call.outputs]
        outputs = [n for n in made if users.get(n, set()) - {group}]
        needed = dict.fromkeys(n for c in calls for n in references((c.inputs, c.static)))
        inputs = [n for n in needed if n in variable and n not in made]
        order = [*group.names]  # as in the op's signature, then what its forward has kept
        inputs.sort(key=lambda n: order.index(n) if n in group.names else len(order))
        taken: dict[str, int] = {}
        arguments = {unused(group.names.get(n, "t"), taken): n for n in inputs}
        inner = [replace(call, step=None) for call in calls]
        part = Program(inner, program.arrays, arguments, outputs, {}, program.cotangents)
        name = self._function(group, part)
        first, refs = calls[0], tuple(map(Ref, inputs))
        return Call(Function(name), refs, {}, tuple(outputs), first.step, first.is_backward)

    def _function(self, group: Group, part: Program) -> str:
        """The name of the function of a group, which is defined unless there is one like it."""
        named = {n: name for n, name in group.names.items() if n not in part.arguments.values()}
        writer = Writer(part, HELPERS, notes=False, named=named)
        results = ", ".join(map(writer.final, part.outputs))
        body, last = writer.body, writer.body[-1]
        if last.startswith(f"{INDENT}{results} = "):
            body = [*body[:-1], last.replace(f"{results} = ", "return ", 1)]
        else:
            results = results if len(results) < WIDTH - 20 else f"({results})"
            body = [*body, wrapped(f"{INDENT}return {results}", INDENT * 2)]
        rest = "\n".join([f"({', '.join(part.arguments)}):", *body])
        key = group.name, rest
        if key not in self._names:
            name = self._names[key] = unused(group.name, dict.fromkeys([*HELPERS, *self.texts], 1))
            head, *lines = f"def {name}{rest}".split("\n")
            self.texts[name] = "\n".join([wrapped(head, INDENT * 2), *lines])
            self.helpers.update(writer.helpers)
        return self._names[key]
