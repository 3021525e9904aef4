"""Gradients as return values (`grad`), and the switches of grad mode."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

from minigen.autodiff.cotangents import start_cotangent
from minigen.autodiff.fast_walk import backprop
from minigen.autodiff.grad_modes import F, grad_mode, is_grad_enabled
from minigen.autodiff.signatures import with_any_keyword
from minigen.autodiff.walk import copied
from minigen.errors import GradError
from minigen.tensors import Tensor

Outputs = Tensor | Sequence[Tensor]


@overload
def grad(outputs: Outputs, inputs: Tensor, cotangents: Any = ..., **options: Any) -> Tensor: ...
@overload
def grad(
    outputs: Outputs, inputs: Iterable[Tensor], cotangents: Any = ..., **options: Any
) -> tuple[Tensor, ...]: ...
@with_any_keyword
def grad(
    outputs: Outputs,
    inputs: Tensor | Iterable[Tensor],
    cotangents: Any = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """The vector-Jacobian products of cotangents with outputs, with respect to inputs.

    inputs may be leaves or results of ops. cotangents has one entry for each output, None for 1.
    The result is one Tensor for one input, a tuple for a sequence; no `.grad` is changed. For an
    input that outputs do not depend on, it is None with allow_unused, else GradError is raised.
    create_graph and retain_graph as in `Tensor.backward`.
    """
    several = not isinstance(outputs, Tensor)
    outputs = list(outputs) if several else [outputs]
    if not several:
        cotangents = [cotangents]
    elif cotangents is None:
        cotangents = [None] * len(outputs)
    if len(cotangents) != len(outputs):
        raise GradError(f"grad: {len(outputs)} outputs but {len(cotangents)} cotangents")
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(xs):
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: input {i} is no tensor but {type(x).__name__}")
        if not x.requires_grad:
            raise GradError(
                f"grad: input {i} does not require grad; make it with requires_grad=True"
            )
    pairs = zip(outputs, cotangents)
    roots = [(y.node, start_cotangent(y, g, create_graph)) for y, g in pairs]
    options = {"retain_graph": bool(retain_graph), "create_graph": create_graph}
    found = backprop(roots, {x.node for x in xs}, Tensor, **options)
    for i, x in enumerate(xs):
        if x.node not in found and not allow_unused:
            raise GradError(
                f"grad: the outputs do not depend on input {i}; or pass allow_unused=True"
            )
    gradients, seen = [found.get(x.node) for x in xs], set()
    for i, x in enumerate(xs):  # an input that is listed twice gets two arrays
        if x.node in seen and gradients[i] is not None:
            gradients[i] = copied(gradients[i])
        seen.add(x.node)
    gradients = tuple(g if g is None or create_graph else Tensor(g) for g in gradients)
    return gradients[0] if isinstance(inputs, Tensor) else gradients


@overload
def no_grad(function: F) -> F: ...
@overload
def no_grad(function: None = ...) -> grad_mode: ...
def no_grad(function: Callable | None = None) -> Any:
    """A context manager, or a decorator, in which ops record no graph."""
    return grad_mode(False) if function is None else grad_mode(False)(function)


@overload
def inference_mode(mode: F) -> F: ...
@overload
def inference_mode(mode: bool = ...) -> grad_mode: ...
def inference_mode(mode: Callable | bool = True) -> Any:
    """`no_grad`; with mode=False nothing changes."""
    if callable(mode):
        return no_grad(mode)
    return grad_mode(is_grad_enabled() and not mode)


class set_grad_enabled(grad_mode):
    """Sets from now on whether ops record a graph; as a context manager, until its end."""

    def __init__(self, mode: bool):
        super().__init__(mode)
        super().__enter__()

    def __enter__(self) -> None:
        """The mode is set already."""

    def __call__(self, function: F) -> F:
        self.__exit__()
        return super().__call__(function)


@overload
def enable_grad(function: F) -> F: ...
@overload
def enable_grad(function: None = ...) -> grad_mode: ...
def enable_grad(function: Callable | None = None) -> Any:
    """A context manager, or a decorator, in which ops record a graph, also inside no_grad."""
    return grad_mode(True) if function is None else grad_mode(True)(function)
