"""The core of gradcheck: the VJP as a function, compared with differences along directions.

For outputs y = f(x) with Jacobian J, a cotangent g and a direction u: the VJP computes J^T g,
differences compute J u, and <J^T g, u> = <g, J u> must hold. One such number checks all entries
of the gradient at once. The second order is the same check of the function (x, g) -> J^T g.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.autodiff.graph import Leaf
from minigen.gradients import grad
from minigen.tensors import Tensor
from minigen.testing.closeness import relative_error
from minigen.testing.numerical import numerical_jvp


class GradcheckError(AssertionError):
    """A gradient differs from the numerical one; `fault` says where and why, if that was found."""

    def __init__(self, message: str, fault: Any = None):
        super().__init__(message)
        self.fault = fault


def vjp(f: Callable, inputs: Sequence, cotangents: Sequence, create_graph: bool = False) -> tuple:
    """J^T g for the Jacobian J of f: the gradient for each input under these cotangents.

    f takes tensors and returns a tensor or a tuple of them. An input on which no output depends
    has gradient zero.
    """
    inputs = [tracked(x) for x in inputs]
    outputs = as_tuple(f(*inputs))
    pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if not pairs:
        return tuple(Tensor(np.zeros_like(x.data)) for x in inputs)
    ys, gs = map(list, zip(*pairs))
    found = grad(ys, inputs, gs, create_graph=create_graph, allow_unused=True)
    return tuple(Tensor(np.zeros_like(x.data)) if g is None else g for x, g in zip(inputs, found))


def gradients(f, inputs, gs, create_graph=False) -> list[np.ndarray]:
    """The same gradients as arrays."""
    return [g.data for g in vjp(f, inputs, gs, create_graph)]


def gradient_function(f: Callable, num_inputs: int) -> Callable:
    """The function (inputs..., cotangents...) -> gradients of f, which takes num_inputs inputs.

    If an argument is a tensor that requires grad, the gradients have a graph.
    """

    def gradients(*args):
        traced = any(isinstance(x, Tensor) and x.requires_grad for x in args)
        return vjp(f, args[:num_inputs], args[num_inputs:], create_graph=traced)

    return gradients


def check_gradient(
    f, inputs, rng, order=1, limit=1e-8, names=None, traced=True
) -> list[np.ndarray]:
    """Check the gradient of f, which computes the derivatives of order - 1.

    The first comparison is along a random direction in all inputs at once. If it fails, each
    input is compared alone, so that the error can name it. traced: the gradients are also
    computed with their graph recorded, and must be equal. Returns the cotangents.
    """
    names = names or [f"argument {i}" for i in range(len(inputs))]
    outputs = [y.data for y in as_tuple(f(*inputs))]
    gs = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
    us = [rng.uniform(-1, 1, x.shape) for x in inputs]
    plain = [g.data for g in vjp(f, inputs, gs)]
    recorded = [g.data for g in vjp(f, inputs, gs, create_graph=True)] if traced else plain
    for name, x, g, again in zip(names, inputs, plain, recorded):
        if g.shape != x.shape or g.dtype != x.dtype:
            raise GradcheckError(
                f"gradcheck, order {order}: the gradient of {name} is {g.dtype} {g.shape}, "
                f"the argument {x.dtype} {x.shape}"
            )
        if relative_error(again, g) > limit:
            raise GradcheckError(
                f"gradcheck, order {order}: the gradient of {name} differs when its graph is "
                f"recorded: {_worst(again, g)}"
            )
    failure = _compare(f, inputs, gs, us, plain, limit)
    if failure is None:
        return gs
    for i, name in enumerate(names):
        alone = [u if j == i else np.zeros_like(u) for j, u in enumerate(us)]
        found = _compare(f, inputs, gs, alone, plain, limit)
        if found:
            raise GradcheckError(
                f"gradcheck, order {order}: the derivative for {name} "
                f"(shape {inputs[i].shape}) is wrong: {found}"
            )
    raise GradcheckError(f"gradcheck, order {order}: a derivative is wrong: {failure}")


def slope_error(f, inputs, gs, us, gradients) -> tuple[float, float, float]:
    """The relative error of <gradient, u> against <g, J u> by differences, and both numbers."""
    slopes = as_tuple(numerical_jvp(f, inputs, us))
    parts = np.concatenate([(g * slope).reshape(-1) for g, slope in zip(gs, slopes)])
    want = float(parts.sum())
    got = float(sum((g * u).sum() for g, u in zip(gradients, us)))
    if got == want or (np.isnan(got) and np.isnan(want)):
        return 0.0, got, want
    return abs(got - want) / max(1.0, abs(want), np.abs(parts).max(initial=0)), got, want


def _compare(f, inputs, gs, us, gradients, limit):
    """None if the error of the slope is within limit, or else a sentence with the numbers."""
    error, got, want = slope_error(f, inputs, gs, us, gradients)
    if error <= limit:
        return None
    return f"{got!r} by its rules, {want!r} by differences, error {error:.3g}, limit {limit:.3g}"


def _worst(got, want):
    at = np.unravel_index(np.argmax(np.abs(got - want)), got.shape)
    return f"{got[at]!r} instead of {want[at]!r} at index {tuple(int(i) for i in at)}"


def tracked(x: Any) -> Tensor:
    """x, an array or a tensor, as a tensor that requires grad."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    return x if x.requires_grad else Tensor(x.data, Leaf())  # keeps memory and layout


def as_tuple(result: Any) -> tuple:
    """What a function returned, one value or several, as a tuple."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)
