"""What a recording consists of: values, steps and backward passes.

    with study.record() as run:
        loss = mg.mean(mg.tanh(x @ w))
        loss.backward()

makes six steps: `matmul`, `tanh` and `mean` forward, then `mean`, `tanh` and `matmul` backward. A
step names its arrays by their numbers in `run.values`.
"""

import linecache
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from minigen.autodiff.primitives import Op


class Ref(NamedTuple):
    """Stands for the array of a value, in the arguments of a step."""

    number: int


def references(tree: Any) -> list[int]:
    """The numbers of the values in a nest of arguments."""
    if isinstance(tree, Ref):
        return [tree.number]
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [n for part in tree for n in references(part)] if isinstance(tree, tuple | list) else []


@dataclass(eq=False)
class Value:
    """An array of the run, with the contents that it had at one time.

    role: "parameter" (a leaf that requires a gradient), "buffer" (a tensor of a module that does
    not), "data" (any other array that no op made), "result" of an op, "residual" (what a fused op
    keeps for its backward besides arguments), or "cotangent".
    """

    number: int
    role: str
    shape: tuple[int, ...]
    dtype: Any
    nbytes: int
    array: Any = None  # a copy, on the device of the original; None with values=False
    name: str | None = None  # of the argument of the program, for what no op made
    path: str = ""  # of a parameter or buffer, as "encoder.0.weight"
    step: int | None = None  # the step that made it
    of: int | None = None  # of a cotangent: the value whose cotangent it is
    terms: tuple[int, ...] = ()  # of a cotangent: the cotangents that met, and were added
    version: int = 0  # how often the memory of its leaf had been written to
    strides: tuple[int, ...] = ()  # in bytes, of the array itself: a kept copy is in C order
    device: str = "cpu"

    def __repr__(self) -> str:
        parts = str(self.number), self.role, self.path or self.name, str(self.shape)
        return " ".join(filter(None, (*parts, str(self.dtype))))


@dataclass(eq=False)
class Step:
    """One call of an op (forward), or of the rules of one node (backward).

    Backward, inputs are the cotangents of the results of a call, and outputs those of its
    arguments, where they were wanted; `saved` is what the rules may read.
    """

    number: int
    kind: str  # "forward" or "backward"
    op: str  # its name
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    saved: tuple[int, ...] = ()  # numbers of the values kept for the backward pass
    file: str = ""  # of the user's code that called the op
    line: int = 0
    module: str = ""  # the path of the module that ran, as "encoder.0"; "" for the outermost
    module_class: str = ""  # the name of its class; "" outside of modules
    location: tuple[int, str] | None = None  # the number of the outermost module, the path in it
    rule: str = ""  # backward: the source text of the derivative rules; forward: of the op
    seconds: float = 0.0  # without the time that recording took; with a wait for other threads
    bytes: int = 0  # of the outputs
    args: tuple = ()  # forward: all arguments, arrays as `Ref`
    static: dict[str, Any] = field(default_factory=dict)  # static arguments, arrays as `Ref`
    call: int | None = None  # backward: the forward step of the node, None if before the recording
    backward_pass: int | None = None  # the number of the backward pass in which it ran
    inside: int | None = None  # the backward step whose rules made this call
    wanted: tuple = ()  # backward: for each argument False, True, or DEFERRABLE for a leaf
    recorded: bool = False  # forward: a node was made, so gradients can flow back
    tracked: tuple[bool, ...] = ()  # forward: to which of args a gradient can flow back
    declaration: Op | None = None  # the op itself

    def __repr__(self) -> str:
        parts = str(self.number), self.kind, self.op, self.module or self.module_class, self.site
        return " ".join(filter(None, (*parts, self.code)))

    @property
    def site(self) -> str:
        """The user's line: "file.py:12"."""
        return f"{Path(self.file).name}:{self.line}" if self.file else ""

    @property
    def code(self) -> str:
        """The text of the user's line; "" where there is no file to read it in."""
        return linecache.getline(self.file, self.line).strip() if self.file else ""


@dataclass(eq=False)
class Pass:
    """One backward pass, by `Tensor.backward` or `mg.grad`.

    roots: the values from which it starts, each with the cotangent that it starts with, None for 1.
    gradients: for each leaf, or each input of `mg.grad`, the value that is its gradient.
    """

    number: int
    create_graph: bool
    first: int  # the number of its first step
    file: str = ""
    line: int = 0
    last: int | None = None  # the number after its last step; None while it runs
    roots: tuple[tuple[int | None, int | None], ...] = ()
    inputs: tuple[int, ...] | None = None  # the values that mg.grad was asked for; None: leaves
    gradients: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0  # of the whole walk, without the time that recording took
    added: tuple[int, ...] = ()  # leaves that had a `.grad` before, to which backward adds
    retain_graph: bool = False  # saved values stay after their rules were called


@dataclass(eq=False)
class Block:
    """Memory of an array of the run, while it was alive: from step `born` on, before `died`.

    use: "" for that of a value; "gradient" for the `.grad` that a leaf had before an op used it, or
    "converted" for a copy of an argument in another dtype: then `value` is that of the leaf, or the
    argument that was converted.
    """

    nbytes: int
    born: int
    value: int  # the first value in this memory
    died: int | None = None  # None: it was alive when the recording ended
    values: list[int] = field(default_factory=list)  # all values in this memory
    use: str = ""
