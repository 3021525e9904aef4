"""Derivatives made wrong on purpose, one at a time: what a checker of gradients must reject.

Some mistakes can be made in any rule (a factor, a sign, ...): those are planted in every rule of
every op. Others belong to one op: see `faults_special.py`. `benchmarks/mutants.py` says which
the checks find.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np

from minigen import ops
from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY, Op, Primitive, raw
from minigen.tensors import Tensor
from minigen.testing import causes
from minigen.testing.cases import DIFFERENTIABLE, draw_call
from minigen.testing.choices import Choices
from minigen.testing.faults_memory import MEMORY, SAVED
from minigen.testing.faults_special import BACKWARDS, RULES, TIES

DRAWS = range(20)  # of each op, to see which ops and arguments its calls reach


@dataclass(frozen=True)
class PlantedFault:
    """One mistake: in the rule of op `core` for its argument i; calls of `op` reach it.

    cause is what `gradcheck` should say of it.
    """

    core: str
    argument: int
    kind: str
    cause: str
    op: str
    attribute: str  # of the op: "rules", "backward" or "definition"
    made: Callable  # from what stands there to what is put there
    at: tuple[np.ndarray, ...] = ()  # the arguments at which it shows, if only at some

    def __str__(self) -> str:
        return f"{self.core}, {self.argument_name}: {self.kind}"

    @property
    def argument_name(self) -> str:
        """What the op calls the argument whose derivative is wrong."""
        signature = REGISTRY[self.core].signature
        return "xs" if signature.variadic else signature.arrays[self.argument]


@contextmanager
def planted(fault: PlantedFault) -> Iterator[None]:
    """With the fault in place; the registry is process-wide, so one thread at a time."""
    op = REGISTRY[fault.core]
    right = getattr(op, fault.attribute)
    setattr(op, fault.attribute, fault.made(right))
    try:
        yield
    finally:
        setattr(op, fault.attribute, right)


# ------------------------------------------------------- mistakes that any rule can have


def _factor(g):
    return g * 1.001


def _sign(g):
    return -g


def _zeros(g):
    return g * 0.0


def _half(g):
    return g * 0.5


def _single(g):
    return ops.astype(ops.astype(g, np.float32), np.float64)


def _shifted(g):
    return ops.roll(g, 1, -1) if g.ndim and g.shape[-1] > 1 else g


def _reversed(g):
    return ops.flip(g, 0) if g.ndim and g.shape[0] > 1 else g


def _detached(g):
    return raw(g)


AFTER = {  # a rule, and then
    "a factor of 1.001": (_factor, causes.FACTOR),
    "a lost factor of 2": (_half, causes.FACTOR),
    "a sign": (_sign, causes.SIGN),
    "zeros": (_zeros, causes.ZERO),
    "through float32": (_single, causes.DTYPE),
    "shifted by one": (_shifted, causes.MOVED),
    "reversed": (_reversed, causes.MOVED),
    "detached at second order": (_detached, causes.HIGHER),
}


def _stale(x):
    saved = isinstance(x, np.ndarray | Tensor) and x.dtype.kind == "f"
    return x + 0.01 if saved else x


def _after(change: Callable, rule: Callable) -> Callable:
    return lambda g, y, *args, **static: change(rule(g, y, *args, **static))


def _with_stale_values(rule):
    def stale(g, y, *args, **static):
        y = y if type(y) is tuple else _stale(y)
        return rule(g, y, *map(_stale, args), **static)

    return stale


def _with_ones(rule):
    """The gradient of the sum, whatever the cotangent."""

    def blind(g, *rest, **static):
        ones = lambda x: None if x is None else raw(x) * 0.0 + 1.0
        g = tuple(map(ones, g)) if type(g) is tuple else ones(g)
        return rule(g, *rest, **static)

    return blind


def _in_rules(i: int, change: Callable) -> Callable:
    """From the rules of an op to those with that of argument i changed."""
    return lambda rules: tuple(change(rule) if k == i else rule for k, rule in enumerate(rules))


def _in_backward(i: int, change: Callable) -> Callable:
    """From the backward of a fused op to one with the gradient of argument i changed."""

    def changed(backward):
        def wrong(g, residuals, wanted, *args, **static):
            parts = list(backward(g, residuals, wanted, *args, **static))
            if parts[i] is not None:
                parts[i] = change(parts[i])
            return tuple(parts)

        return wrong

    return changed


def _rule_in_backward(i: int, change: Callable) -> Callable:
    """From the backward of a fused op to one in which the part for argument i is a changed rule."""

    def changed(backward):
        part = change(lambda *args, **static: backward(*args, **static)[i])

        def wrong(g, residuals, wanted, *args, **static):
            parts = list(backward(g, residuals, wanted, *args, **static))
            if wanted[i] and parts[i] is not None:
                parts[i] = part(g, residuals, wanted, *args, **static)
            return tuple(parts)

        return wrong

    return changed


def _in_definition(i: int) -> Callable:
    """From the definition of a fused op to one that detaches argument i."""

    def changed(definition):
        return lambda *args, **static: definition(*args[:i], raw(args[i]), *args[i + 1 :], **static)

    return changed


def _anywhere(op: Op, i: int) -> Iterator[tuple[str, str, str, Callable]]:
    """(kind, cause, attribute, made) of the mistakes that the rule for argument i can have."""
    if isinstance(op, Fused):
        for kind, (change, cause) in AFTER.items():
            if op.backward and kind != "detached at second order":
                yield kind, cause, "backward", _in_backward(i, change)
        yield "detached at second order", causes.HIGHER, "definition", _in_definition(i)
        for kind, change in MEMORY.items() if op.backward else ():
            yield kind, causes.ALIASED, "backward", _rule_in_backward(i, change)
        return
    place = 0 if op.signature.variadic else i
    if op.rules[place] is None:
        return
    for kind, (change, cause) in AFTER.items():
        made = lambda rule, change=change: _after(change, rule)
        yield kind, cause, "rules", _in_rules(place, made)
    yield "a cotangent of ones", causes.VALUES, "rules", _in_rules(place, _with_ones)
    for kind, change in MEMORY.items():
        if kind != SAVED or op.reads[place]:
            yield kind, causes.ALIASED, "rules", _in_rules(place, change)
    if op.reads[place]:
        yield "stale saved values", causes.VALUES, "rules", _in_rules(place, _with_stale_values)


# --------------------------------------------------------------------------- the catalogue


def arguments_of(name: str) -> dict[str, set[int]]:
    """The ops behind calls of a public op, with the arguments whose rules its gradient uses."""
    found: dict[str, set[int]] = {}
    for seed in DRAWS:
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
                key = vertex.op.forward.__name__
                found.setdefault(key, set()).update(
                    {0} if vertex.op.signature.variadic else tracked
                )
    return found


@cache
def catalogue() -> tuple[PlantedFault, ...]:
    """Every fault, in the order of the registry."""
    reached = {name: arguments_of(name) for name in DIFFERENTIABLE}
    faults = []
    for core, op in REGISTRY.items():
        if not isinstance(op, Primitive | Fused):
            continue
        through = [name for name in reached if core in reached[name]]
        through.sort(key=lambda name: (len(reached[name]), name))  # the most direct one first
        for i in sorted({i for name in through for i in reached[name][core]}):
            name = next(name for name in through if i in reached[name][core])
            for kind, cause, attribute, made in _anywhere(op, i):
                faults.append(PlantedFault(core, i, kind, cause, name, attribute, made))
    for kind, (core, name, i, cause, rule) in RULES.items():
        faults.append(PlantedFault(core, i, kind, cause, name, "rules", _in_rules(i, rule)))
    for kind, (core, name, i, cause, made) in BACKWARDS.items():
        faults.append(PlantedFault(core, i, kind, cause, name, "backward", made))
    for kind, (core, i, made, *at) in TIES.items():
        changed = _in_rules(i, made)
        faults.append(PlantedFault(core, i, kind, causes.KINK, core, "rules", changed, tuple(at)))
    return tuple(faults)
