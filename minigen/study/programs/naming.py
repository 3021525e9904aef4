"""Names of the values of a program.

A parameter has its path; what a line assigns has the name that the line gives it, in the user's
code or in the definition of a fused op; other results are called after their op: z of a linear
map, h of an activation. The cotangent of h is dh, that of inner_weight d_inner_weight.
"""

import ast
import builtins
import itertools
import keyword
import linecache
from collections.abc import Mapping, Sequence
from functools import cache

from minigen.study.modules import identifier, unused
from minigen.study.programs.replay import Program
from minigen.study.programs.tape import Call

RESERVED = {*keyword.kwlist, *dir(builtins), "np", "math", "step"}
ACTIVATIONS = "tanh", "relu", "sigmoid", "gelu", "silu", "elu", "leaky_relu"
OF_OPS = {  # the field's names of results
    **dict.fromkeys(("linear", "matmul", "convolve", "convolve_transpose", "embedding"), "z"),
    **dict.fromkeys(ACTIVATIONS, "h"),
    **dict.fromkeys(("softmax",), "p"),
    **dict.fromkeys(("log_softmax",), "log_p"),
    **dict.fromkeys(("mean", "sum"), "s"),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "bitwise_and"), "mask"),
    **dict.fromkeys(("argmax", "argsort", "max_indices"), "index"),
}


class Names:
    """Gives each value its name, when it is asked for."""

    def __init__(self, program: Program, taken: set[str], named: Mapping[int, str] | None = None):
        self.taken = dict.fromkeys([*RESERVED, *taken], 1)
        self.names: dict[int, str] = dict(named or {})
        for name, number in program.arguments.items():
            self.taken.setdefault(name, 1)
            self.names.setdefault(number, name)
        self._outputs, self._arrays = set(program.outputs), program.arrays
        self._assigned = assigned(program.calls)
        self._of = {g: of for g, of in program.cotangents.items() if g != of}
        terms: dict[int, list[int]] = {}
        for call in program.calls:
            for number in call.outputs:
                if number in self._of:
                    terms.setdefault(self._of[number], []).append(number)
        self._last = {numbers[-1] for numbers in terms.values()}

    def is_cotangent(self, number: int) -> bool:
        """Whether a value is the whole cotangent of a value that has a name."""
        return number in self._last and self._of[number] in self.names

    def name(self, number: int, call: Call | None = None) -> str:
        """The name of a value, which the call makes; without a call, it is a constant."""
        if number not in self.names:
            self.names[number] = unused(self._wish(number, call), self.taken)
        return self.names[number]

    def _wish(self, number: int, call: Call | None) -> str:
        if call is None:
            return "c"
        of = self._of.get(number)
        if of is not None and (of in self.names or of in self._of):
            base = self.names.get(of) or self._wish(of, call)
            name = cotangent_of(base)
            return name if number in self._last else f"{name}_part"
        if number in self._assigned:
            return self._assigned[number]
        if number in self._outputs and not self._arrays[number].shape:
            return "loss"
        if call.is_backward or (call.line and call.op.name in ACTIVATIONS):
            return "t"
        return OF_OPS.get(call.op.name, "t")


def cotangent_of(name: str) -> str:
    """The name of the cotangent of a value: dh, dz_2; of a name of several words d_inner_weight."""
    has_words = "_" in name.rstrip("_0123456789") and not name.startswith("_")
    return f"d_{name}" if has_words else f"d{name}"


def assigned(calls: Sequence[Call]) -> dict[int, str]:
    """The names that code gives to values: to the last one that a module or a line makes."""
    found: dict[int, str] = {}
    forward = [call for call in calls if not call.is_backward]
    for module, group in itertools.groupby(forward, lambda call: call.step and call.step.module):
        name, last = (module or "").rpartition(".")[2], [*group][-1]
        if name.isidentifier() and len(last.outputs) == 1:
            found[last.outputs[0]] = name
    for line_of in (lambda call: call.line, user_line):
        for line, group in itertools.groupby(forward, line_of):
            targets, last = _targets(*line[:2]) if line else (), [*group][-1]
            if len(targets) == len(last.outputs):
                found.update(zip(last.outputs, targets))
    return found


def user_line(call: Call) -> tuple[str, int] | None:
    """The line of the user's code to which a call belongs."""
    return call.step and (call.step.file, call.step.line)


@cache
def _targets(file: str, line: int) -> tuple[str, ...]:
    """The names to which a line of code assigns; none if it is no assignment of names."""
    try:
        (statement,) = ast.parse(linecache.getline(file, line).strip()).body
    except (SyntaxError, ValueError):
        return ()
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return ()
    target = statement.targets[0]
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [identifier(p.id) for p in parts if isinstance(p, ast.Name) and p.id.strip("_")]
    return tuple(names) if len(names) == len(parts) else ()
