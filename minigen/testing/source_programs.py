"""Runs the programs that `Recording.source` writes, and compares them with the engine.

An error is max |got - want| / max(1, max |want|) over outputs and gradients; it is infinite where
shape, dtype, or the positions of NaN and infinities differ.
"""

import runpy
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigen.creation import tensor
from minigen.gradients import grad
from minigen.study import Recording, record
from minigen.tensors import Tensor
from minigen.testing.case import Call
from minigen.testing.choices import Choices
from minigen.testing.graph_draws import draw_program


def run_program(text: str, arguments: Mapping[str, Any]) -> tuple[list, dict[str, Any]]:
    """(outputs, gradients) of the program with these arguments."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program.py")
        path.write_text(text, encoding="utf-8")
        step = runpy.run_path(str(path))["step"]
    with np.errstate(all="ignore"):
        return step(**arguments)


def arguments_of(run: Recording) -> dict[str, Any]:
    """The recorded arrays, by the names of the program's arguments."""
    return {value.name: value.array for value in run.values if value.name is not None}


def error(got: Any, want: Any) -> float:
    """The error of an array."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or got.dtype != want.dtype:
        return np.inf
    got, want = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return np.inf
    got, want = got[finite], want[finite]
    return float(np.abs(got - want).max(initial=0) / max(1, np.abs(want).max(initial=0)))


def largest_error(
    run: Recording, outputs: Sequence[Tensor], leaves: Mapping[str, Tensor], fused: bool = False
) -> float:
    """That of the program of a run: of its outputs, and of the `.grad` of leaves, by name."""
    found, gradients = run_program(run.source(fused), arguments_of(run))
    wanted = {name: leaf.grad.data for name, leaf in leaves.items() if leaf.grad is not None}
    if len(found) != len(outputs) or not gradients.keys() >= wanted.keys():
        return np.inf
    errors = [error(y, want.data) for y, want in zip(found, outputs)]
    return max(errors + [error(gradients[name], g) for name, g in wanted.items()])


def leaves_of(arrays: Iterable[Any]) -> dict[str, Tensor]:
    """Tensors a0, a1, ... of arrays; those of floats require a gradient."""
    return {
        f"a{i}": tensor(x, requires_grad=np.asarray(x).dtype.kind == "f")
        for i, x in enumerate(arrays)
    }


def weighted_sum(outputs: Iterable[Any], rng: np.random.Generator) -> Tensor | None:
    """The sum of the outputs that are on a graph, with random weights; None without any."""
    total = None
    for y in outputs:
        if isinstance(y, Tensor) and y.requires_grad:
            term = (y * rng.standard_normal(y.shape).astype(y.dtype)).sum()
            total = term if total is None else total + term
    return total


def error_of_case(call: Call, seed: int, dtype: Any = np.float64, fused: bool = False) -> float:
    """That of a program of one op, and of the gradients of a random sum of its results."""
    leaves = leaves_of(x.astype(dtype) for x in call.arrays)
    with record(names=leaves) as run:
        outputs = call(*leaves.values())
        loss = weighted_sum(outputs, np.random.default_rng(seed))
        if loss is not None:
            loss.backward()
    if not run.steps:  # of arrays alone
        return 0.0
    if loss is None:
        outputs = tuple(Tensor(run.values[n].array) for n in run.steps[-1].outputs)
    return largest_error(run, outputs if loss is None else [loss], leaves, fused)


def error_of_drawn(seed: int, order: int = 1) -> float:
    """That of a random program, also for other arguments than those that were recorded.

    order 2: of the gradients of a sum of gradients.
    """
    rng = np.random.default_rng(seed)
    program = draw_program(Choices(rng))

    def run_on(leaves):
        loss = program.loss(*leaves.values())
        if order == 2:
            found = grad(loss, leaves.values(), create_graph=True, allow_unused=True)
            squares = [(g * g + g).sum() for g in found if g is not None]
            loss = sum(squares[1:], squares[0])
        if loss.requires_grad:
            loss.backward()
        return loss

    leaves = leaves_of(program.inputs)
    with record(names=leaves) as run:
        loss = run_on(leaves)
    if not loss.requires_grad:  # the gradients of a linear function are constants
        return 0.0
    others = leaves_of(x * (1 + 1e-3 * rng.standard_normal(x.shape)) for x in program.inputs)
    want = run_on(others)
    arguments = arguments_of(run)
    arguments |= {name: x.data for name, x in others.items() if name in arguments}
    found, gradients = run_program(run.source(), arguments)
    errors = [largest_error(run, [loss], leaves), error(found[0], want.data)]
    wanted = {name: x.grad.data for name, x in others.items() if x.grad is not None}
    return max(errors + [error(gradients[name], g) for name, g in wanted.items()])
