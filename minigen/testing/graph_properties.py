"""Properties of a random program of `graphs`; each function raises AssertionError if broken."""

import threading

import numpy as np

from minigen import gradients
from minigen.tensors import Tensor
from minigen.testing.closeness import assert_close, relative_error
from minigen.testing.graphs import Program

# Limits of the relative error of a whole program of up to 25 ops.
FLOAT64_LIMIT, FLOAT32_LIMIT = 1e-10, 2e-4


def gradients_of(program: Program, inputs: list) -> tuple[np.ndarray, list[np.ndarray]]:
    """The loss and its gradient for each input."""
    leaves = [Tensor(x).requires_grad_() for x in inputs]
    loss = program.loss(*leaves)
    return loss.data, [g.data for g in gradients.grad(loss, leaves)]


def equals_the_oracle(program: Program, rng: np.random.Generator) -> float:
    """The loss, and its slope along a random direction in each input. Returns the worst error."""
    loss, found = gradients_of(program, program.inputs)
    worst = relative_error(loss, program.oracle(*program.inputs))
    for i, g in enumerate(found):
        u = rng.uniform(-1, 1, g.shape)
        us = [u if j == i else np.zeros(x.shape) for j, x in enumerate(program.inputs)]
        want = program.slope(program.inputs, us)
        worst = max(worst, abs(float((g * u).sum()) - want) / max(1.0, abs(want)))
    assert worst <= FLOAT64_LIMIT, f"error {worst:.3g} in\n{program}"
    return worst


def float32_stays_close(program: Program) -> float:
    """The gradient in float32 against float64, at the same values. Returns the worst error."""
    small = [x.astype(np.float32) for x in program.inputs]
    loss, found = gradients_of(program, small)
    assert loss.dtype == np.float32
    _, wanted = gradients_of(program, [x.astype(np.float64) for x in small])
    worst = 0.0
    for g, want in zip(found, wanted):
        assert g.dtype == np.float32
        worst = max(worst, relative_error(g, want))
    assert worst <= FLOAT32_LIMIT, f"error {worst:.3g} in float32 in\n{program}"
    return worst


def repeats_bit_for_bit(program: Program) -> None:
    """Equal bits in a second run, on another thread, and in two backward passes of one graph."""
    loss, want = gradients_of(program, program.inputs)
    results = [gradients_of(program, program.inputs)]
    thread = threading.Thread(target=lambda: results.append(gradients_of(program, program.inputs)))
    thread.start()
    thread.join()
    leaves = [Tensor(x).requires_grad_() for x in program.inputs]
    kept = program.loss(*leaves)
    for retain_graph in (True, False):
        found = gradients.grad(kept, leaves, retain_graph=retain_graph)
        results.append((kept.data, [g.data for g in found]))
    for again, found in results:
        assert np.array_equal(loss, again)
        assert all(np.array_equal(a, b) for a, b in zip(want, found, strict=True))


def uses_add_up(program: Program, copies: int = 3) -> None:
    """The gradient of a loss that is computed `copies` times is that many times the gradient."""
    leaves = [Tensor(x).requires_grad_() for x in program.inputs]
    total = program.loss(*leaves)
    for _ in range(copies - 1):
        total = total + program.loss(*leaves)
    _, single = gradients_of(program, program.inputs)
    for many, one in zip(gradients.grad(total, leaves), single):
        assert_close(many.data, copies * one, 1e-12)
