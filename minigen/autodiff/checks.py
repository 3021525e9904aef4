"""Checks of ops that readers declare: of the declaration, of what forward and rules return.

`primitives.py` asks here where something is not a plain new array of the right shape and dtype.
What is wrong gets one sentence with op, rule, line and remedy: TypeError for a declaration, or
for what is no array, ShapeError or DTypeError for a cotangent that does not fit. Whether an op
writes to what it was given takes longer to find out: `gradcheck` does.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigen.autodiff.graph import NOT_SAVED, Spec, Traced
from minigen.backend.arrays import is_cupy
from minigen.backend.dtypes import ARRAYS
from minigen.errors import DTypeError, ShapeError

# ---------------------------------------------------------------------------- declarations


def check_forward(forward: Any) -> None:
    """TypeError unless forward is a function with a name."""
    if not (callable(forward) and hasattr(forward, "__name__")):
        raise TypeError(
            f"an op is declared from a function, not from {_kind(forward)}: primitive and fused "
            "are called with rules or a definition, and what they return decorates a function"
        )


def check_rules(op: Any, rules: Sequence, saves: Sequence[str]) -> None:
    """TypeError unless there is a rule, and an entry of saves, for each array argument."""
    names = ["xs"] if op.signature.variadic else op.signature.arrays
    place = _at(op.forward)
    if not len(rules) == len(saves) == len(names):
        raise TypeError(
            f"op {op.name!r}{place}: {len(rules)} rules and {len(saves)} entries of saves for "
            f"{len(names)} array arguments ({', '.join(names)}); give one rule for each, None for "
            "an argument without derivative, and put static arguments behind a * in forward"
        )
    for name, rule in zip(names, rules):
        if not (rule is None or callable(rule)):
            raise TypeError(
                f"op {op.name!r}{place}: the rule for argument {name!r} is {_kind(rule)}; "
                "give a function, or None for an argument without derivative"
            )
    if op.views and len(names) > 1:
        raise TypeError(
            f"op {op.name!r}{place}: views=True is for ops of one array argument; return a copy"
        )
    for read in " ".join(saves).split():
        if read not in ("y", *names):
            raise TypeError(
                f"op {op.name!r}{place}: saves names {read!r}; name 'y' or array arguments "
                f"({', '.join(names)}), with spaces between"
            )


def check_definition(op: Any) -> None:
    """TypeError unless definition and backward take the arguments of the forward."""
    arrays, static = [None] * len(op.signature.arrays), dict.fromkeys(op.signature.statics)
    for what, function, first in (
        ("definition", op.definition, []),
        ("backward", op.backward, ["g", "residuals", "wanted"]),
    ):
        if not (callable(function) or (function is None and first)):
            raise TypeError(f"op {op.name!r}: its {what} is {_kind(function)}; give a function")
        if function is not None and not _takes(function, [*first, *arrays], static):
            expected = ", ".join([*first, *op.signature.arrays, *op.signature.statics])
            raise TypeError(
                f"op {op.name!r}: its {what}{_at(function)} takes {inspect.signature(function)}; "
                f"it must take ({expected})"
            )


# --------------------------------------------------------------------------------- forward


def checked_pair(op: Any, result: Any) -> tuple:
    """(y, residuals), if that is what the forward of a fused op returned."""
    if type(result) is tuple and len(result) == 2:
        return result
    raise TypeError(
        f"op {op.name!r}: its forward{_at(op.forward)} returned {_kind(result)}; the forward of a "
        "fused op returns a pair (y, residuals), residuals None if backward needs nothing else"
    )


def check_outputs(op: Any, y: Any, arrays: Sequence) -> None:
    """TypeError unless y is an array, or a tuple of some, and no view of an argument."""
    if isinstance(y, np.generic):
        return
    for part in y if type(y) is tuple and y else [y]:
        if not is_array(part):
            raise TypeError(
                f"op {op.name!r}: its forward{_at(op.forward)} returned {_kind(part)}; return "
                f"{_as_output(part)}"
            )
        for i, x in enumerate(() if op.views else arrays):
            if same_memory(part, x):
                raise TypeError(
                    f"op {op.name!r}: its forward{_at(op.forward)} returned a view of argument "
                    f"{op.signature.argument(i)!r}, where an optimizer step would show; return a "
                    "copy, or declare views=True"
                )


def checked_results(op: Any, results: Any, num_outputs: int | None, g: Any) -> tuple:
    """What the definition of a fused op returned, as a tuple: handles of the forward's shapes."""
    found = results if type(results) is tuple else (results,)
    gs = g if isinstance(g, tuple) else (g,)
    several = type(results) is tuple
    count = len(found) if several else None
    if count != num_outputs or not all(isinstance(y, Traced) for y in found):
        due = "one tensor" if num_outputs is None else f"a tuple of {num_outputs} tensors"
        got = f"a tuple of {len(found)}" if several else _kind(results)
        raise TypeError(
            f"op {op.name!r}: its definition{_at(op.definition)} returned {got}; return {due}, "
            "computed with ops from the arguments, as forward returns arrays"
        )
    for y, part in zip(found, gs):
        if part is not None and y.data.shape != part.shape:
            raise ShapeError(
                f"op {op.name!r}: its definition{_at(op.definition)} returned shape {y.data.shape}"
                f" where forward returned {part.shape}"
            )
    return found


def _as_output(part):
    """What to return instead of part."""
    if isinstance(part, Traced):
        return "an array: forward gets raw arrays, and computes with .data of other tensors"
    if isinstance(part, list | tuple):
        return "an array, or a tuple of arrays for several outputs"
    return "an array, as np.asarray(value) for a number"


def is_array(x: Any) -> bool:
    """Whether x is a NumPy or CuPy array, or a NumPy scalar, which NumPy makes of arrays of ()."""
    return type(x) in ARRAYS or isinstance(x, np.generic) or is_cupy(x)


def same_memory(y: Any, x: Any) -> bool:
    """Whether an array is x, or lies in its memory."""
    if y is x:
        return True
    if getattr(y, "base", None) is None:
        return False
    if isinstance(y, np.ndarray) and isinstance(x, np.ndarray):
        return np.may_share_memory(y, x)
    return y.base is x or y.base is getattr(x, "base", x)


# ------------------------------------------------------------------------------------ rules


def fitted_cotangent(op: Any, i: int, part: Any, x: Any, g: Any, create_graph: bool) -> Any:
    """What the rule for argument i returned, in the dtype of the argument x; or an error."""
    if part is None:
        if op.rule(i, create_graph) is None:  # and so none was called
            return None
        raise TypeError(
            f"{_rule(op, i)} returned None; return an array of zeros where the derivative is 0, or "
            "declare None in place of the rule if there is no derivative"
        )
    if isinstance(part, Spec):
        raise _not_saved(op, i, [op.signature.argument(i)])
    array = part.data if create_graph and isinstance(part, Traced) else part
    if not is_array(array):
        what = f"returned {_kind(array)}; return an array"
        if isinstance(array, Traced):
            what += ": it gets raw arrays, and computes with .data of other tensors"
        raise TypeError(f"{_rule(op, i)} {what} of shape {x.shape}")
    if array.shape != x.shape:
        raise ShapeError(
            f"{_rule(op, i)} returned shape {array.shape} for an argument of shape {x.shape}; "
            "sum over what was broadcast, or undo what forward did to the shape"
        )
    if array.dtype == x.dtype:
        return part
    dtype_of_g = next(p.dtype for p in (g if isinstance(g, tuple) else (g,)) if p is not None)
    if array.dtype.kind != "f" or dtype_of_g == x.dtype:
        raise DTypeError(
            f"{_rule(op, i)} returned dtype {array.dtype} for an argument of {x.dtype}; compute in "
            "the dtype of g, with Python numbers as constants, or end with .astype(g.dtype)"
        )
    return part.astype(x.dtype)  # arguments of two float dtypes: each gradient has its own's


def checked_parts(op: Any, parts: Any) -> list:
    """The cotangents that the backward of a fused op returned, one for each array."""
    names = op.signature.arrays
    if isinstance(parts, list | tuple) and len(parts) == len(names):
        return list(parts)
    found = f"{len(parts)} values" if isinstance(parts, list | tuple) else _kind(parts)
    raise TypeError(
        f"{_rule(op, 0)} returned {found}; return a tuple with one cotangent for each of "
        f"({', '.join(names)}), None where wanted is false"
    )


def explain_rule(error: Exception, op: Any, g: Any, node: Any, wanted: Sequence) -> None:
    """Raise a better error than that of a rule, or add a note that says which rule it was."""
    raw = lambda x: x.data if isinstance(x, Traced) else x
    g = tuple(map(raw, g)) if isinstance(g, tuple) else raw(g)
    for i in range(len(wanted)):
        rule = op.rule(i, False) if wanted[i] else None
        if rule is None:
            continue
        values = op.values_for_rule(i, g, node, wanted)
        if not _takes(rule, values.values(), node.static):
            raise TypeError(
                f"{_rule(op, i)} takes {inspect.signature(rule)}; it must take "
                f"({', '.join([*values, *op.signature.statics])})"
            ) from error
        failure = _failure(rule, values, node.static)
        if failure is not None:
            if missing := _missing(rule, values, g, node.static):
                raise _not_saved(op, i, missing) from error
            error.add_note(f"raised by {_rule(op, i)}")
            return
    error.add_note(
        f"the rules of op {op.name!r}{_at(op.forward)} work on arrays, but not on tensors, which "
        "create_graph gives them; write them with operators and minigen's ops, not with NumPy's"
    )


def _missing(rule, values, g, static):
    """The names of what the rule reads and did not save: given some values, it does not fail."""
    stand_ins = {name: np.ones(x.shape, x.dtype) for name, x in values.items() if type(x) is Spec}
    if values.get("y") is NOT_SAVED:
        ones = lambda part: np.ones(part.shape, part.dtype)
        stand_ins["y"] = tuple(map(ones, filter(is_array, g))) if isinstance(g, tuple) else ones(g)
    for name, value in stand_ins.items():
        if _failure(rule, {**values, name: value}, static) is None:
            return [name]
    return list(stand_ins) if _failure(rule, {**values, **stand_ins}, static) is None else []


def _not_saved(op, i, names):
    said = " and ".join(map(repr, names))
    return TypeError(f"{_rule(op, i)} reads {said}, which it did not save; add {said} to its saves")


def _failure(rule: Callable, values: dict, static: dict) -> Exception | None:
    """What the rule raises, given these values."""
    try:
        rule(*values.values(), **static)
    except Exception as error:  # a reader's rule may fail in any way
        return error
    return None


def _takes(function, values, static):
    try:
        inspect.signature(function).bind(*values, **static)
    except TypeError:
        return False
    except ValueError:  # a function of C without a signature
        pass
    return True


# ------------------------------------------------------------------------------------ words


def _rule(op, i):
    rule = op.rule(i, False)
    if rule is getattr(op, "backward", None):
        return f"op {op.name!r}: its backward{_at(rule)}"
    return f"op {op.name!r}: the rule for argument {op.signature.argument(i)!r}{_at(rule)}"


def _at(function: Callable) -> str:
    """Where a function is defined: " (file.py:12)"."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""


def _kind(x: Any) -> str:
    """What x is: "a list", "None"."""
    name = type(x).__name__
    if x is None:
        return "None"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
