"""Mistakes that the derivative rule of any op can have: a factor, a sign, a stale value."""

from collections.abc import Callable, Iterator

import numpy as np

from minigen import ops
from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import Op, raw
from minigen.tensors import Tensor
from minigen.testing import causes
from minigen.testing.faults.memory_misuse import MISUSES, WRITES_SAVED
from minigen.testing.faults.planting import (
    PlantedFault,
    change_backward_of,
    change_gradient,
    change_rule,
    detach_in_definition,
)

# ------------------------------------------- changes of the gradient that a rule returns


def _factor(g):
    return g * 1.001


def _sign(g):
    return -g


def _zeros(g):
    return g * 0.0


def _half(g):
    return g * 0.5


def _through_float32(g):
    return ops.astype(ops.astype(g, np.float32), np.float64)


def _shifted(g):
    return ops.roll(g, 1, -1) if g.ndim and g.shape[-1] > 1 else g


def _reversed(g):
    return ops.flip(g, 0) if g.ndim and g.shape[0] > 1 else g


def _detached(g):
    return raw(g)


DETACHED = "detached at second order"
CHANGES = {  # mistake: the change of a gradient, and the cause that gradcheck should report
    "a factor of 1.001": (_factor, causes.FACTOR),
    "a lost factor of 2": (_half, causes.FACTOR),
    "a sign": (_sign, causes.SIGN),
    "zeros": (_zeros, causes.ZERO),
    "through float32": (_through_float32, causes.DTYPE),
    "shifted by one": (_shifted, causes.MOVED),
    "reversed": (_reversed, causes.MOVED),
    DETACHED: (_detached, causes.HIGHER),
}

# ------------------------------------------------------- changes of a rule as a whole


def _then(change: Callable, rule: Callable) -> Callable:
    """The rule, followed by a change of what it returns."""
    return lambda g, y, *args, **static: change(rule(g, y, *args, **static))


def _stale(x):
    """A saved float value that has changed since it was saved."""
    is_float = isinstance(x, np.ndarray | Tensor) and x.dtype.kind == "f"
    return x + 0.01 if is_float else x


def _with_stale_values(rule):
    def stale(g, y, *args, **static):
        y = y if type(y) is tuple else _stale(y)
        return rule(g, y, *map(_stale, args), **static)

    return stale


def _with_ones(rule):
    """The rule for a cotangent of ones, whatever the cotangent is."""

    def blind(g, *rest, **static):
        ones = lambda x: None if x is None else raw(x) * 0.0 + 1.0
        g = tuple(map(ones, g)) if type(g) is tuple else ones(g)
        return rule(g, *rest, **static)

    return blind


# ------------------------------------------------------------------------------ faults


def faults_in_any_rule(op: Op, i: int, public_op: str) -> Iterator[PlantedFault]:
    """The faults that the derivative of op for argument i can have; calls of public_op use it."""
    name = op.forward.__name__
    if isinstance(op, Fused):
        mistakes = _in_fused(op, i)
    else:
        mistakes = _in_primitive(op, 0 if op.signature.variadic else i)  # variadic: one rule
    for mistake, cause, attribute, replace in mistakes:
        yield PlantedFault(name, i, mistake, cause, public_op, attribute, replace)


def _in_fused(op, i):
    """(mistake, cause, attribute, replace) of each mistake, in a fused op."""
    for mistake, (change, cause) in CHANGES.items():
        if op.backward and mistake != DETACHED:
            yield mistake, cause, "backward", change_gradient(i, change)
    yield DETACHED, causes.HIGHER, "definition", detach_in_definition(i)
    for mistake, change in MISUSES.items() if op.backward else ():
        yield mistake, causes.ALIASED, "backward", change_backward_of(i, change)


def _in_primitive(op, i):
    """(mistake, cause, attribute, replace) of each mistake, in rule i of a primitive op."""
    if op.rules[i] is None:
        return
    for mistake, (change, cause) in CHANGES.items():
        wrong = lambda rule, change=change: _then(change, rule)
        yield mistake, cause, "rules", change_rule(i, wrong)
    yield "a cotangent of ones", causes.VALUES, "rules", change_rule(i, _with_ones)
    for mistake, change in MISUSES.items():
        if mistake != WRITES_SAVED or op.reads[i]:
            yield mistake, causes.ALIASED, "rules", change_rule(i, change)
    if op.reads[i]:
        yield "stale saved values", causes.VALUES, "rules", change_rule(i, _with_stale_values)
