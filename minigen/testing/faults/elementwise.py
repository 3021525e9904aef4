"""Mistakes in the rules of elementwise ops: broadcasting, arguments, formulas, second order."""

import numpy as np

from minigen import ops
from minigen.autodiff.primitives import raw
from minigen.ops.shape import sum_to
from minigen.testing import causes
from minigen.testing.faults.planting import instead, rule_fault


def fitted(g, x):
    """g summed to the shape of x, as a right elementwise rule does."""
    return g if g.shape == x.shape else sum_to(g, x.shape)


def averaged(right):
    """The mean over the copies of a broadcast argument instead of the sum."""

    def rule(g, y, a, b):
        gradient = right(g, y, a, b)
        return gradient * (max(1, np.prod(a.shape)) / max(1, raw(g).size))

    return rule


def first_copy(right):
    """The gradient of the first copy of a broadcast argument instead of the sum over all."""

    def rule(g, y, a, b):
        lead = g.ndim - a.ndim
        gradient = g[(0,) * lead] if g.size else sum_to(g, a.shape)
        for axis, n in enumerate(a.shape):
            if gradient.shape[axis] != n:
                gradient = ops.getitem(gradient, (slice(None),) * axis + (slice(0, 1),))
        return gradient

    return rule


BROADCASTING = (
    rule_fault(
        "a mean instead of the sum over a broadcast axis", "add", 0, causes.BROADCAST, averaged
    ),
    rule_fault(
        *("no sum over a broadcast axis", "add", 1, causes.BROADCAST),
        instead(lambda g, y, a, b: g),
    ),
    rule_fault(
        *("no sum in a product", "multiply", 0, causes.BROADCAST),
        instead(lambda g, y, a, b: g * b),
    ),
    rule_fault(
        *("no sum in a difference", "subtract", 1, causes.BROADCAST),
        instead(lambda g, y, a, b: -g),
    ),
    rule_fault(
        "the first copy instead of the sum over copies", "add", 0, causes.BROADCAST, first_copy
    ),
)

EXCHANGED_ARGUMENTS = (
    rule_fault(
        *("the rule of the other argument of a product", "multiply", 0, causes.SWAPPED),
        instead(lambda g, y, a, b: fitted(g * a, a)),
    ),
    rule_fault(
        *("swapped arguments of a quotient", "divide", 1, causes.SWAPPED),
        instead(lambda g, y, a, b: fitted(g / b, b)),
    ),
    rule_fault(
        *("the rule of the other argument of a difference", "subtract", 0, causes.SIGN),
        instead(lambda g, y, a, b: fitted(-g, a)),
    ),
    rule_fault(
        *("base and exponent swapped", "power", 0, causes.SWAPPED),
        instead(lambda g, y, a, b: fitted(g * a * ops.power(b, a - 1.0), a)),
    ),
    rule_fault(
        *("swapped branches", "_where", 1, causes.SWAPPED),
        instead(lambda g, y, condition, a, b: fitted(ops.where(condition, 0.0, g), a)),
        public_op="where",
    ),
    rule_fault(
        *("the smaller instead of the larger", "maximum", 0, causes.SWAPPED),
        lambda right: lambda g, y, a, b: right(g, y, -a, -b),
    ),
)

WRONG_FORMULAS = (
    rule_fault(
        *("an argument shifted by 0.001", "sin", 0, causes.VALUES),
        instead(lambda g, y, x: g * ops.cos(x + 1e-3)),
    ),
    rule_fault(
        *("the derivative of tanh", "sigmoid", 0, causes.VALUES),
        instead(lambda g, y, x: g * (1 - y * y)),
    ),
    rule_fault(
        *("1 / b instead of a / b squared", "divide", 1, causes.VALUES),
        instead(lambda g, y, a, b: fitted(-g / b, b)),
    ),
)

SECOND_ORDER = (
    rule_fault(
        *("the output detached at second order", "tanh", 0, causes.HIGHER),
        instead(lambda g, y, x: g * (1 - np.square(raw(y)))),
    ),
    rule_fault(
        *("an argument detached at second order", "log", 0, causes.HIGHER),
        instead(lambda g, y, x: g / raw(x)),
    ),
    rule_fault(
        *("the cotangent detached", "sigmoid", 0, causes.HIGHER),
        instead(lambda g, y, x: raw(g) * (y * (1 - y))),
    ),
    rule_fault(
        *("an argument detached where g is a tensor", "square", 0, causes.HIGHER),
        instead(lambda g, y, x: 2.0 * g * x if isinstance(g, np.ndarray) else 2.0 * g * raw(x)),
    ),
)

FAULTS = (*BROADCASTING, *EXCHANGED_ARGUMENTS, *WRONG_FORMULAS, *SECOND_ORDER)
