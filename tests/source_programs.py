"""Runs the programs that `run.source()` writes, and compares them with the engine."""

import numpy as np

import minigen as mg
from minigen import study
from minigen.testing.choices import Choices
from minigen.testing.graph_draws import draw_program


def run_program(text, arguments):
    """(outputs, gradients) of the program with these arguments."""
    assert "minigen" not in text
    scope = {}
    exec(compile(text, "program", "exec"), scope)
    with np.errstate(all="ignore"):
        return scope["step"](**arguments)


def arguments_of(run):
    """The recorded arrays, by the names of the program's arguments."""
    return {value.name: value.array for value in run.values if value.name is not None}


def error(got, want):
    """max |got - want| / max(1, max |want|); infinite where shape, dtype, NaN or inf differ."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or got.dtype != want.dtype:
        return np.inf
    got, want = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return np.inf
    got, want = got[finite], want[finite]
    return np.abs(got - want).max(initial=0) / max(1, np.abs(want).max(initial=0))


def largest_error(run, outputs, leaves, fused=False):
    """Of the program of a run: of its outputs, and of the gradients of leaves, a dict by name."""
    found, gradients = run_program(run.source(fused), arguments_of(run))
    assert len(found) == len(outputs)
    pairs = [(y, want.data) for y, want in zip(found, outputs)]
    wanted = {name: leaf.grad.data for name, leaf in leaves.items() if leaf.grad is not None}
    assert gradients.keys() >= wanted.keys()
    pairs += [(gradients[name], g) for name, g in wanted.items()]
    return max(error(got, want) for got, want in pairs)


def leaves_of(arrays, prefix="a"):
    """Tensors that require a gradient, by name; other arrays as tensors without one."""
    return {
        f"{prefix}{i}": mg.tensor(x, requires_grad=np.asarray(x).dtype.kind == "f")
        for i, x in enumerate(arrays)
    }


def weighted_sum(outputs, rng):
    """The sum of the outputs that are on a graph, with random weights; None without any."""
    total = None
    for y in outputs:
        if isinstance(y, mg.Tensor) and y.requires_grad:
            term = (y * rng.standard_normal(y.shape).astype(y.dtype)).sum()
            total = term if total is None else total + term
    return total


def error_of_case(call, seed, dtype=np.float64, fused=False):
    """Of a call of an op, and of the gradients of a random sum of its results."""
    leaves = leaves_of([x.astype(dtype) for x in call.arrays])
    with study.record(names=leaves) as run:
        outputs = call(*leaves.values())
        loss = weighted_sum(outputs, np.random.default_rng(seed))
        if loss is not None:
            loss.backward()
    if not run.steps:  # of arrays alone
        return 0.0
    if loss is None:
        outputs = [mg.Tensor(run.values[n].array) for n in run.steps[-1].outputs]
    return largest_error(run, outputs if loss is None else [loss], leaves, fused)


def error_of_drawn(seed, order=1):
    """Of a random program and its gradients, also for other arguments than those recorded.

    order 2: of the gradients of a sum of gradients.
    """
    rng = np.random.default_rng(seed)
    program = draw_program(Choices(rng))

    def run_on(leaves):
        loss = program.loss(*leaves.values())
        if order == 2:
            found = mg.grad(loss, leaves.values(), create_graph=True, allow_unused=True)
            squares = [(g * g + g).sum() for g in found if g is not None]
            loss = sum(squares[1:], squares[0])
        if loss.requires_grad:
            loss.backward()
        return loss

    leaves = leaves_of(program.inputs)
    with study.record(names=leaves) as run:
        loss = run_on(leaves)
    if not loss.requires_grad:  # gradients of linear functions
        return 0.0
    others = leaves_of([x * (1 + 1e-3 * rng.standard_normal(x.shape)) for x in program.inputs])
    want = run_on(others)
    arguments = arguments_of(run) | {name: x.data for name, x in others.items()}
    text = run.source()
    arguments = {name: x for name, x in arguments.items() if name in arguments_of(run)}
    found, gradients = run_program(text, arguments)
    errors = [largest_error(run, [loss], leaves), error(found[0], want.data)]
    errors += [error(gradients[k], x.grad.data) for k, x in others.items() if x.grad is not None]
    return max(errors)
