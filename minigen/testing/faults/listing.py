"""All planted faults: those of any rule in every op, then those of single ops."""

from functools import cache

import numpy as np

from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY, Primitive
from minigen.tensors import Tensor
from minigen.testing.cases import DIFFERENTIABLE, draw_call
from minigen.testing.choices import Choices
from minigen.testing.faults import elementwise, layers, shapes, ties
from minigen.testing.faults.any_rule import faults_in_any_rule
from minigen.testing.faults.planting import PlantedFault

SEEDS = range(20)  # drawn calls of each op, to see which ops and arguments they reach


def rules_reached_by(name: str) -> dict[str, set[int]]:
    """The ops that calls of a public op record, with the arguments that are differentiated."""
    reached: dict[str, set[int]] = {}
    for seed in SEEDS:
        call = draw_call(name, Choices(seed))
        with np.errstate(all="ignore"):
            outputs = call(*(Tensor(x).requires_grad_() for x in call.arrays))
        stack, seen = [y.node for y in outputs if isinstance(y, Tensor)], set()
        while stack:
            vertex = stack.pop()
            if vertex is None or vertex in seen:
                continue
            seen.add(vertex)
            stack.extend(vertex.parents)
            if hasattr(vertex, "static"):
                tracked = {i for i, parent in enumerate(vertex.parents) if parent is not None}
                if vertex.op.signature.variadic:
                    tracked = {0}
                reached.setdefault(vertex.op.forward.__name__, set()).update(tracked)
    return reached


@cache
def catalogue() -> tuple[PlantedFault, ...]:
    """Every fault: of any rule in the order of the registry, then of single ops."""
    reached = {name: rules_reached_by(name) for name in DIFFERENTIABLE}
    faults = []
    for core, op in REGISTRY.items():
        if not isinstance(op, Primitive | Fused):
            continue
        callers = [name for name in reached if core in reached[name]]
        callers.sort(key=lambda name: (len(reached[name]), name))  # the most direct one first
        for i in sorted({i for name in callers for i in reached[name][core]}):
            public_op = next(name for name in callers if i in reached[name][core])
            faults.extend(faults_in_any_rule(op, i, public_op))
    for family in (elementwise, shapes, layers, ties):
        faults.extend(family.FAULTS)
    return tuple(faults)
