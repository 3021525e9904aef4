"""`gradcheck`: the derivatives of a function, an op or a whole model against differences.

It runs in four steps: misuse of memory (`aliasing`), repeated gradients (this file), each order of
derivatives (`pullback`), and where that fails a search for the op at fault (`diagnosis`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.nn import Module
from minigen.tensors import Tensor
from minigen.testing.aliasing import find_misuse
from minigen.testing.causes import ALIASED
from minigen.testing.closeness import as_numpy
from minigen.testing.diagnosis import Fault, find_fault
from minigen.testing.functional import Functional
from minigen.testing.pullback import (
    GradcheckError,
    as_tuple,
    check_gradient,
    gradient_function,
    vjp,
)


def gradcheck(
    f: Callable,
    inputs: Sequence | Tensor | np.ndarray,
    *,
    order: int = 2,
    explain: bool = True,
    limit: float = 1e-8,
    seed: int = 0,
) -> None:
    """Raise GradcheckError unless the derivatives of f up to that order equal differences.

    f takes tensors and returns a tensor or a tuple. Float inputs are cast to float64; integers
    and booleans are passed unchanged. For a Module, or a method of one, a float64 copy is checked,
    by its parameters too. Each order is compared along random directions, under random cotangents,
    with and without a graph of the gradient; a missing derivative counts as zero. With order=1
    rules may be written in NumPy. An op that writes into its arguments, or into an array that it
    returned earlier, fails even where the gradient is right. With explain=True the error names
    the first op that is wrong, its argument, the line of its call and the likely cause.
    """
    inputs = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    arrays = [as_numpy(x) for x in inputs]
    labels = [f"argument {i}" for i in range(len(inputs))]
    if isinstance(f, Module) or isinstance(getattr(f, "__self__", None), Module):
        f = Functional(f)
        arrays, labels = [*f.parameters, *arrays], [*f.names, *labels]
    floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]
    if not floats:
        raise GradcheckError("gradcheck: no input is of a float dtype, so nothing was checked")

    def function(*xs):
        args = [Tensor(x) for x in arrays]
        for i, x in zip(floats, xs):
            args[i] = x if isinstance(x, Tensor) else Tensor(x)
        return tuple(y for y in as_tuple(f(*args)) if y.dtype.kind == "f")

    xs = [arrays[i].astype(np.float64) for i in floats]
    names = [labels[i] for i in floats]
    with np.errstate(all="ignore"):
        _check(function, xs, names, order, explain, limit, seed)


def _check(f, inputs, names, order, explain, limit, seed):
    if misuse := find_misuse(f, inputs, np.random.default_rng(seed)):
        fault = Fault(misuse.op, misuse.argument, 1, ALIASED, misuse.detail, misuse.where)
        raise GradcheckError(f"gradcheck: an op misuses memory\n{fault}", fault)
    _check_repetition(f, inputs, np.random.default_rng(seed))
    rng, function, xs = np.random.default_rng(seed), f, inputs
    for n in range(1, order + 1):
        try:
            gs = check_gradient(function, xs, rng, n, limit, names, traced=order > 1)
        except Exception as error:
            if isinstance(error, GradcheckError) and not explain:
                raise
            function(*xs)  # raises again if f itself fails, not its gradient
            fault = None
            if explain:
                rng_again = np.random.default_rng(seed)
                fault = find_fault(f, inputs, n, rng_again, limit, traced=order > 1)
            raise GradcheckError(_message(error, n, fault, explain), fault) from None
        function, xs = gradient_function(function, len(xs)), [*xs, *gs]
        names = [*names, *(f"cotangent {i} of order {n}" for i in range(len(gs)))]


def _check_repetition(f, inputs, rng):
    """Raise if outputs repeat but gradients do not: then an array is kept and written to."""
    try:
        outputs = as_tuple(f(*inputs))
        gs = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
        first, second, third = (
            [g.data.copy() for g in vjp(f, inputs, gs)]
            + [y.data.copy() for y in as_tuple(f(*inputs))]
            for _ in range(3)
        )
    except Exception:  # a rule may raise anything; check_gradient will meet and report it
        return
    num_inputs = len(inputs)
    alike = lambda a, b: all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b))
    if alike(first[num_inputs:], third[num_inputs:]) and not (
        alike(first, second) and alike(first, third)
    ):
        raise GradcheckError(
            "gradcheck: the gradient differs when it is taken again: an op, a rule or the "
            "function writes into an array, or keeps one that is written to"
        )


def _message(error: Any, order: int, fault: Any, explain: bool) -> str:
    text = (
        str(error)
        if isinstance(error, GradcheckError)
        else (f"gradcheck, order {order}: the gradient raises {type(error).__name__}: {error}")
    )
    if fault:
        return f"{text}\n{fault}"
    if explain:
        return (
            f"{text}\nEvery recorded op is right by itself. Either the function leaves the graph "
            "(detach(), .data, .numpy(), no_grad), or it computes something else at each call, or "
            "its input is at a kink"
        )
    return text
