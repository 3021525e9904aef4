"""Gradient checking, for minigen's own ops and for anyone's: functions, ops and whole models."""

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
    """GradcheckError unless the derivatives of f, up to that order, are those of its values.

    f takes tensors and returns one or a tuple. inputs are cast to float64; integers and booleans
    are passed as they are. f may be a Module, or a method of one: a float64 copy is checked, by
    its parameters too. Each order is checked along random directions, under random cotangents,
    against differences of the order before, with and without a graph of the gradient; a
    derivative that is missing counts as zero. With `explain` the ops of f are then checked one by
    one, and the error names the first that is wrong, its argument, the line and the likely cause.
    An op that writes into an array that it was given, or into one that it returned, is a fault
    even where the gradient is right. With order=1 rules may be written in NumPy.
    """
    given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    arrays = [as_numpy(x) for x in given]
    labels = [f"argument {i}" for i in range(len(given))]
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
        found = misuse.op, misuse.argument, 1, ALIASED, misuse.detail, misuse.where
        fault = Fault(*found)
        raise GradcheckError(f"gradcheck: memory is in the wrong hands\n{fault}", fault)
    _check_repetition(f, inputs, np.random.default_rng(seed))
    rng, function, xs = np.random.default_rng(seed), f, inputs
    for level in range(1, order + 1):
        try:
            gs = check_gradient(function, xs, rng, level, limit, names, traced=order > 1)
        except Exception as error:
            if isinstance(error, GradcheckError) and not explain:
                raise
            function(*xs)  # what f itself raises is not for us to explain
            fault = None
            if explain:
                rng_again = np.random.default_rng(seed)
                fault = find_fault(f, inputs, level, rng_again, limit, traced=order > 1)
            raise GradcheckError(_message(error, level, fault, explain), fault) from None
        function, xs = gradient_function(function, len(xs)), [*xs, *gs]
        names = [*names, *(f"cotangent {i} of order {level}" for i in range(len(gs)))]


def _check_repetition(f, inputs, rng):
    """The same values must have the same gradient each time, or an array is kept and changed."""
    try:
        outputs = as_tuple(f(*inputs))
        gs = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
        first, second, third = (
            [g.data.copy() for g in vjp(f, inputs, gs)]
            + [y.data.copy() for y in as_tuple(f(*inputs))]
            for _ in range(3)
        )
    except Exception:  # a rule may fail in any way: what it raises is for the checks behind this
        return
    count = len(inputs)
    alike = lambda a, b: all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b))
    if alike(first[count:], third[count:]) and not (alike(first, second) and alike(first, third)):
        raise GradcheckError(
            "gradcheck: the gradient is another when it is taken again: an op, a rule or the "
            "function writes into an array, or keeps one that is written to"
        )


def _message(error: Any, level: int, fault: Any, explain: bool) -> str:
    said = (
        str(error)
        if isinstance(error, GradcheckError)
        else (f"gradcheck, order {level}: the gradient raises {type(error).__name__}: {error}")
    )
    if fault:
        return f"{said}\n{fault}"
    if explain:
        return (
            f"{said}\nEvery op that was recorded is right by itself: the function leaves the "
            "graph on the way (detach(), .data, .numpy(), no_grad), is not the same at each call, "
            "or its input lies on a kink"
        )
    return said
