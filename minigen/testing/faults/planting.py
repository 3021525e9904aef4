"""What a planted fault is, and how it is put into an op and taken out again.

A fault replaces one attribute of an op in the registry: its derivative `rules`, or for a fused op
its `backward` or its `definition`. `replace` computes the wrong attribute from the right one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from minigen.autodiff.primitives import REGISTRY, raw


@dataclass(frozen=True)
class PlantedFault:
    """One mistake, in the derivative of op `op` for its argument number `argument`.

    op is a name in the registry. public_op is an op whose calls use that derivative: op itself,
    or a public op that calls it.
    """

    op: str
    argument: int
    mistake: str  # in words
    cause: str  # that gradcheck should report; one of `causes.py`
    public_op: str
    attribute: str  # "rules", "backward" or "definition"
    replace: Callable  # from the right value of that attribute to the wrong one
    at: tuple[np.ndarray, ...] = ()  # where it shows; empty: at drawn arguments

    def __str__(self) -> str:
        return f"{self.op}, {self.argument_name}: {self.mistake}"

    @property
    def argument_name(self) -> str:
        """The name of that argument in the signature of the op."""
        signature = REGISTRY[self.op].signature
        return "xs" if signature.variadic else signature.arrays[self.argument]


@contextmanager
def planted(fault: PlantedFault) -> Iterator[None]:
    """Plant the fault for a with block. The registry is process-wide: one thread at a time."""
    op = REGISTRY[fault.op]
    right = getattr(op, fault.attribute)
    setattr(op, fault.attribute, fault.replace(right))
    try:
        yield
    finally:
        setattr(op, fault.attribute, right)


# --------------------------------------------------------- values of `PlantedFault.replace`


def change_rule(i: int, change: Callable) -> Callable:
    """Replace the rule for argument i by change(rule)."""
    return lambda rules: tuple(change(rule) if k == i else rule for k, rule in enumerate(rules))


def change_gradient(i: int, change: Callable) -> Callable:
    """Have the backward of a fused op return change(gradient) for argument i."""

    def replace(backward):
        def wrong(g, residuals, wanted, *args, **static):
            gradients = list(backward(g, residuals, wanted, *args, **static))
            if gradients[i] is not None:
                gradients[i] = change(gradients[i])
            return tuple(gradients)

        return wrong

    return replace


def change_backward_of(i: int, change: Callable) -> Callable:
    """Have a fused op compute the gradient for argument i by change(rule).

    The rule is the backward itself, of whose gradients it returns the one for argument i.
    """

    def replace(backward):
        changed = change(lambda *args, **static: backward(*args, **static)[i])

        def wrong(g, residuals, wanted, *args, **static):
            gradients = list(backward(g, residuals, wanted, *args, **static))
            if wanted[i] and gradients[i] is not None:
                gradients[i] = changed(g, residuals, wanted, *args, **static)
            return tuple(gradients)

        return wrong

    return replace


def detach_in_definition(i: int) -> Callable:
    """Detach argument i in the definition of a fused op, which second derivatives are taken of."""

    def replace(definition):
        return lambda *args, **static: definition(*args[:i], raw(args[i]), *args[i + 1 :], **static)

    return replace


# --------------------------------------------------------------- faults of a single op


def rule_fault(
    mistake: str,
    op: str,
    argument: int,
    cause: str,
    change: Callable,
    public_op: str | None = None,
    at: tuple[np.ndarray, ...] = (),
) -> PlantedFault:
    """A fault in one rule of an op; change maps the right rule to the wrong one."""
    replace = change_rule(argument, change)
    return PlantedFault(op, argument, mistake, cause, public_op or op, "rules", replace, at)


def backward_fault(
    mistake: str,
    op: str,
    argument: int,
    cause: str,
    replace: Callable,
    public_op: str | None = None,
) -> PlantedFault:
    """A fault in the backward of a fused op; replace maps the right backward to the wrong one."""
    return PlantedFault(op, argument, mistake, cause, public_op or op, "backward", replace)


def instead(rule: Callable) -> Callable:
    """The change of any right rule to this one."""
    return lambda right: rule
