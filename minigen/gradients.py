"""Gradients of tensors as values, and where graphs are recorded."""

from collections.abc import Callable, Sequence
from typing import Any

from minigen.autodiff.fast_walk import backprop
from minigen.autodiff.graph import grad_mode
from minigen.autodiff.walk import own
from minigen.errors import GradError
from minigen.tensors import Tensor, start_cotangent


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    cotangents: Any = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """The gradient of outputs, weighted by cotangents, for each of inputs, which may be interior.

    One Tensor for one input, a tuple for a sequence; no `.grad` is touched. An input that
    outputs do not depend on raises GradError, or gives None with allow_unused.
    """
    several = not isinstance(outputs, Tensor)
    outputs = list(outputs) if several else [outputs]
    if not several:
        cotangents = [cotangents]
    elif cotangents is None:
        cotangents = [None] * len(outputs)
    if len(cotangents) != len(outputs):
        raise GradError(f"grad: {len(outputs)} outputs but {len(cotangents)} cotangents")
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(wanted):
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: input {i} is no tensor but {type(x).__name__}")
        if not x.requires_grad:
            raise GradError(
                f"grad: input {i} does not require grad; make it with requires_grad=True"
            )
    pairs = zip(outputs, cotangents)
    roots = [(y.node, start_cotangent(y, g, create_graph)) for y, g in pairs]
    options = {"retain_graph": bool(retain_graph), "create_graph": create_graph}
    found = backprop(roots, {x.node for x in wanted}, Tensor, **options)
    for i, x in enumerate(wanted):
        if x.node not in found and not allow_unused:
            raise GradError(
                f"grad: the outputs do not depend on input {i}; or pass allow_unused=True"
            )
    gradients, seen = [found.get(x.node) for x in wanted], set()
    for i, x in enumerate(wanted):  # an input that is given twice gets two arrays
        if x.node in seen and gradients[i] is not None:
            gradients[i] = own(gradients[i])
        seen.add(x.node)
    gradients = tuple(g if g is None or create_graph else Tensor(g) for g in gradients)
    return gradients[0] if isinstance(inputs, Tensor) else gradients


def no_grad(function: Callable | None = None) -> Any:
    """A context, or a decorator, in which ops record no graph."""
    return grad_mode(False) if function is None else grad_mode(False)(function)


def enable_grad(function: Callable | None = None) -> Any:
    """A context, or a decorator, in which ops record a graph; inside no_grad too."""
    return grad_mode(True) if function is None else grad_mode(True)(function)
