"""The core of gradcheck: the vector-Jacobian product (VJP) as a function, and its check.

The gradient of outputs y = f(x) with Jacobian J under a cotangent g is J^T g; `slopes` compares it
with differences. The second order is the same check of the function (x, g) -> J^T g.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigen.autodiff.graph import Leaf
from minigen.gradients import grad
from minigen.tensors import Tensor
from minigen.testing.closeness import relative_error
from minigen.testing.numerical import EPSILON, as_vector, numerical_jvp
from minigen.testing.slopes import FLAT, UNLIKE, Comparison, compare, draw_directions, kink, split

TINY = float(np.finfo(np.float64).tiny)


class GradcheckError(AssertionError):
    """A gradient differs from the numerical one; `fault` says where and why, if that was found."""

    def __init__(self, message: str, fault: Any = None):
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True)
class Unmeasured:
    """A comparison with differences that are too inaccurate to confirm a gradient.

    matters: it is of the largest part of the gradient, and that is no rounding of the outputs.
    """

    found: Comparison
    matters: bool

    def __str__(self) -> str:
        return (
            "the differences are too inaccurate to check the derivative: "
            f"{self.found}. The values of the function are noisy, or it is not smooth here"
        )


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
    f, inputs, rng, order=1, limit=1e-8, names=None, traced=True, unmeasured=None, strict=False
) -> list[np.ndarray]:
    """Check the gradient of f, which computes the derivatives of order - 1.

    Comparisons are along random directions in all inputs at once. If one fails, each input is
    compared alone, so that the error can name it. traced: the gradients are also computed with
    their graph recorded, and must be equal. Where differences are too inaccurate to confirm a
    gradient, an `Unmeasured` is appended to the list of them; strict: it is an error if they could
    confirm any gradient. Returns the cotangents.
    """
    names = names or [f"argument {i}" for i in range(len(inputs))]
    outputs = [y.data for y in as_tuple(f(*inputs))]
    draws = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
    gs = [np.where(np.isfinite(y), g, 0).astype(y.dtype) for y, g in zip(outputs, draws)]
    us = draw_directions(inputs, rng)
    plain = [g.data for g in vjp(f, inputs, gs)]
    recorded = [g.data for g in vjp(f, inputs, gs, create_graph=True)] if traced else plain
    sizes = [np.abs(np.nan_to_num(g * y)).max(initial=0) for g, y in zip(gs, outputs)]
    noise = 64 * EPSILON * sum(sizes, TINY)
    for name, x, g, again, u in zip(names, inputs, plain, recorded, us):
        if g.shape != x.shape or g.dtype != x.dtype:
            raise GradcheckError(
                f"gradcheck, order {order}: the gradient of {name} is {g.dtype} {g.shape}, "
                f"the argument {x.dtype} {x.shape}"
            )
        tolerance = limit * np.abs(g * u).max(initial=0) + noise
        if again is not g and relative_error(again * u, g * u, tolerance) > 1:
            raise GradcheckError(
                f"gradcheck, order {order}: the gradient of {name} differs when its graph is "
                f"recorded: {_worst(again, g)}"
            )
    for part in split(inputs, plain, us):
        found = compare(f, inputs, gs, part, plain, limit)
        if not (
            found.agrees(limit) and np.isfinite(found.error) and (found.confirms or not strict)
        ):
            _raise_by_name(f, inputs, gs, part, plain, limit, names, order)
        if found.size > UNLIKE * part.top and not found.measured and unmeasured is not None:
            matters = part.largest and _largest_change(inputs, plain) > FLAT * sum(sizes)
            unmeasured.append(Unmeasured(found, matters))
    return gs


def _raise_by_name(f, inputs, gs, part, gradients, limit, names, order):
    """Raise GradcheckError with the first input whose derivative differs along its direction."""
    for i, name in enumerate(names):
        us = [u if j == i else np.zeros_like(u) for j, u in enumerate(part.us)]
        found = compare(f, inputs, gs, replace(part, us=us), gradients, limit)
        if not (found.agrees(limit) and np.isfinite(found.error) and found.confirms):
            raise GradcheckError(
                f"gradcheck, order {order}: the derivative for {name} (shape {inputs[i].shape}) "
                f"is wrong: {found}{kink(f, inputs, gs, us)}"
            )


def _largest_change(inputs, gradients):
    """The largest change of the outputs, to first order, if one entry grows by its own size."""
    changes = [np.abs(g * np.where(x == 0, 1.0, x)) for x, g in zip(inputs, gradients)]
    return max(change.max(initial=0) for change in changes)


def slope_error(f, inputs, gs, us, gradients) -> float:
    """The error of <gradients, u> against <g, J u> by differences, relative to 1 or more."""
    slopes = as_vector(numerical_jvp(f, inputs, us))
    parts = as_vector(tuple(gs)) * slopes
    want, got = parts.sum(), sum((g * u).sum() for g, u in zip(gradients, us))
    if got == want or (np.isnan(got) and np.isnan(want)):
        return 0.0
    return float(abs(got - want) / max(1.0, abs(want), np.abs(parts).max(initial=0)))


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
