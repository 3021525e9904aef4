"""Properties of the memory that one call of an op uses; each function raises AssertionError.

A gradient has memory of its own, inputs are never written to, and no array is kept. The search
for writes is in `aliasing`.
"""

import numpy as np

from minigen.testing.aliasing import find_misuse
from minigen.testing.case import Call, cotangents, read_only
from minigen.testing.pullback import gradient_function, gradients, tracked


def gradient_owns_its_memory(call: Call, rng: np.random.Generator) -> None:
    """Each gradient has the shape and dtype of its input, is writable and shares no memory."""
    gs = cotangents(call, rng)
    for dtype in (np.float64, np.float32):
        leaves = [tracked(read_only(x.astype(dtype))) for x in call.arrays]
        outputs = call(*leaves)
        seeds = [read_only(g.astype(y.dtype)) for g, y in zip(gs, outputs)]
        pairs = [(y, g) for y, g in zip(outputs, seeds) if y.requires_grad]
        for i, (y, g) in enumerate(pairs):
            y.backward(g, retain_graph=i + 1 < len(pairs))
        owned = []
        for x in leaves:
            if x.grad is None:
                continue
            g = x.grad.data
            assert (g.shape, g.dtype) == (x.shape, x.dtype) and x.grad.device == x.device
            assert type(g) is np.ndarray and g.flags.writeable
            assert all(step or n == 1 for step, n in zip(g.strides, g.shape) if g.size)
            shared = [*seeds, *(y.data for y in outputs), *(x.data for x in leaves), *owned]
            assert not any(np.shares_memory(g, other) for other in shared)
            owned.append(g)


def inputs_are_not_written(call: Call, rng: np.random.Generator) -> None:
    """Forward, backward and second-order backward write to no input and to no cotangent."""
    values = [np.array(x) for x in [*call.arrays, *cotangents(call, rng)]]
    before = [x.tobytes() for x in values]
    num_inputs = len(call.arrays)
    call(*values[:num_inputs])
    gradients(call, values[:num_inputs], values[num_inputs:])
    us = [rng.standard_normal(x.shape) for x in call.arrays]
    gradients(gradient_function(call, num_inputs), values, us)
    assert before == [x.tobytes() for x in values]


def memory_is_left_alone(call: Call, rng: np.random.Generator) -> None:
    """Forward and rules write neither to their arguments nor to arrays that they returned."""
    misuse = find_misuse(lambda *xs: call(*xs), call.arrays, rng)
    assert misuse is None, misuse
