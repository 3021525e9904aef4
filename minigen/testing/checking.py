"""`gradcheck`: the derivatives of a function, an op or a whole model against differences.

It runs in four steps: misuse of memory (`aliasing`), repeated gradients (this file), each order of
derivatives (`pullback`), and where that fails a search for the op at fault (`diagnosis`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigen.nn import Module
from minigen.tensors import Tensor
from minigen.testing.aliasing import find_misuse
from minigen.testing.causes import ALIASED
from minigen.testing.closeness import as_numpy, relative_error
from minigen.testing.diagnosis import Fault, find_fault
from minigen.testing.functional import Functional
from minigen.testing.pullback import (
    TINY,
    GradcheckError,
    Unmeasured,
    as_tuple,
    check_gradient,
    gradient_function,
    tracked,
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
    with and without a graph of the gradient; a missing derivative counts as zero. limit is relative
    to the largest terms; the error of the differences is added. With order=1 rules may be in NumPy.
    An op that writes into its arguments, or into an array that it returned earlier, fails too. With
    explain=True the error names the first wrong op, its argument, its line and the likely cause.
    """
    if not callable(f):
        raise TypeError(
            f"gradcheck: the first argument must be a function, got {type(f).__name__}; pass the "
            "function itself, not its result"
        )
    if order < 1:
        raise ValueError(f"gradcheck: order must be 1 or more, got {order}")
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
        return _float_outputs(f(*args))

    for i in floats:
        if not np.isfinite(arrays[i]).all():
            raise GradcheckError(
                f"gradcheck: {labels[i]} has NaN or infinite values; choose others, or let the "
                "function make it inside, if no gradient for it is wanted"
            )
    xs = [arrays[i].astype(np.float64) for i in floats]
    names = [labels[i] for i in floats]
    with np.errstate(all="ignore"):
        _check(function, xs, names, order, explain, limit, seed)


def _float_outputs(result):
    """The outputs of a function that have derivatives; raises if there is none."""
    outputs = as_tuple(result)
    for y in outputs:
        if not isinstance(y, Tensor) and getattr(getattr(y, "dtype", None), "kind", "f") == "f":
            got = type(y).__name__
            why = "numbers and arrays, as of item() and numpy(), have no graph"
            if isinstance(y, tuple | list | dict):
                got = got if y is result else f"a {got} within a tuple"
                why = "let it return the tensors alone, as in lambda x: model(x)[0]"
            raise GradcheckError(
                f"gradcheck: the function must return a tensor or a tuple of tensors, got {got}; "
                f"{why}"
            )
    found = tuple(y for y in outputs if y.dtype.kind == "f")
    if not found:
        raise GradcheckError("gradcheck: no output is of a float dtype, so nothing was checked")
    return found


def _check(f, inputs, names, order, explain, limit, seed):
    if misuse := find_misuse(f, inputs, np.random.default_rng(seed)):
        fault = Fault(misuse.op, misuse.argument, 1, ALIASED, misuse.detail, misuse.where)
        raise GradcheckError(f"gradcheck: an op misuses memory\n{fault}", fault)
    _check_repetition(f, inputs, np.random.default_rng(seed))
    rng, function, xs = np.random.default_rng(seed), f, inputs
    for n in range(1, order + 1):
        unmeasured: list[Unmeasured] = []
        find = partial(find_fault, f, inputs, n, limit=limit, traced=order > 1)
        try:
            gs = check_gradient(
                *(function, xs, rng, n, limit, names), traced=order > 1, unmeasured=unmeasured
            )
        except Exception as error:
            if isinstance(error, GradcheckError) and not explain:
                raise
            function(*xs)  # raises again if f itself fails, not its gradient
            fault = find(np.random.default_rng(seed)) if explain else None
            raise GradcheckError(_message(error, n, fault, explain), fault) from None
        if unmeasured and explain and (fault := find(np.random.default_rng(seed))):
            text = f"gradcheck, order {n}: a derivative is wrong"
            raise GradcheckError(f"{text}\n{fault}", fault)
        if any(u.matters for u in unmeasured):
            raise GradcheckError(f"gradcheck, order {n}: {unmeasured[0]}")
        function, xs = gradient_function(function, len(xs)), [*xs, *gs]
        names = [*names, *(f"cotangent {i} of order {n}" for i in range(len(gs)))]
    _check_dependence(f, inputs)


def _check_dependence(f, inputs):
    """Raise if no output has a graph to an input; the differences were 0 then."""
    outputs = as_tuple(f(*map(tracked, inputs)))
    has_values = all(any(x.size for x in xs) for xs in (inputs, outputs))
    if has_values and not any(y.requires_grad for y in outputs):
        raise GradcheckError(
            "gradcheck: the result is constant near the inputs, no output depends on them, so "
            "nothing was checked"
        )


def _check_repetition(f, inputs, rng):
    """Raise if f gives other outputs when called again, or other gradients.

    If outputs repeat but gradients do not, an array is kept and written to.
    """
    num_inputs = len(inputs)
    alike = lambda a, b: all(map(_same, a, b))
    first = [np.array(y.data) for y in as_tuple(f(*inputs))]
    try:
        gs = [rng.standard_normal(y.shape).astype(y.dtype) for y in first]
        found = [
            [np.array(g.data) for g in vjp(f, inputs, gs)]
            + [np.array(y.data) for y in as_tuple(f(*inputs))]
            for _ in range(3)
        ]
    except Exception:  # a rule may raise anything; check_gradient will meet and report it
        return
    if alike(found[0][num_inputs:], found[2][num_inputs:]) and not (
        alike(found[0], found[1]) and alike(found[0], found[2])
    ):
        raise GradcheckError(
            "gradcheck: the gradient differs when it is taken again: an op, a rule or the "
            "function writes into an array, or keeps one that is written to"
        )
    if not all(alike(first, again[num_inputs:]) for again in found):
        raise GradcheckError(
            "gradcheck: the function gives another result when it is called again with the same "
            "inputs; let it draw the same random numbers in each call (a generator made inside "
            "it), and change no state"
        )


def _same(x, y):
    """Equal but for a few roundings, which differ with the alignment of memory."""
    return relative_error(x, y, np.abs(x[np.isfinite(x)]).max(initial=TINY)) <= 1e-13


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
