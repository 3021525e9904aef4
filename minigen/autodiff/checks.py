"""Checks of ops that readers declare: of the declaration, and of what forward and rules return.

`primitives.py` calls these functions where a result is not a new NumPy array of the right shape and
dtype. A message has one sentence with op, rule, line and remedy: TypeError for a declaration, or
for a value that is no array; ShapeError or DTypeError for a cotangent that does not fit. Whether an
op writes to its arguments is not checked in each call, which would be slow: `gradcheck` does it.
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
            f"an op is declared from a function, not from {_described(forward)}: primitive and "
            "fused are called with rules or a definition, and what they return decorates a function"
        )


def check_rules(op: Any, rules: Sequence, saves: Sequence[str]) -> None:
    """TypeError unless there is a rule, and an entry of saves, for each array argument."""
    names = ["xs"] if op.signature.variadic else op.signature.arrays
    location = _at(op.forward)
    if not len(rules) == len(saves) == len(names):
        raise TypeError(
            f"op {op.name!r}{location}: {len(rules)} rules and {len(saves)} entries of saves for "
            f"{len(names)} array arguments ({', '.join(names)}); give one rule for each, None for "
            "an argument without derivative, and put static arguments behind a * in forward"
        )
    for name, rule in zip(names, rules):
        if not (rule is None or callable(rule)):
            raise TypeError(
                f"op {op.name!r}{location}: the rule for argument {name!r} is {_described(rule)}; "
                "give a function, or None for an argument without derivative"
            )
    if op.views and len(names) > 1:
        raise TypeError(
            f"op {op.name!r}{location}: views=True is for ops of one array argument; return a copy"
        )
    for read in " ".join(saves).split():
        if read not in ("y", *names):
            raise TypeError(
                f"op {op.name!r}{location}: saves names {read!r}; name 'y' or array arguments "
                f"({', '.join(names)}), with spaces between"
            )


def check_definition(op: Any) -> None:
    """TypeError unless definition and backward accept the arguments of forward."""
    arrays, static = [None] * len(op.signature.arrays), dict.fromkeys(op.signature.statics)
    for role, function, first in (
        ("definition", op.definition, []),
        ("backward", op.backward, ["g", "residuals", "wanted"]),
    ):
        if not (callable(function) or (function is None and first)):
            raise TypeError(
                f"op {op.name!r}: its {role} is {_described(function)}; give a function"
            )
        if function is not None and not _accepts(function, [*first, *arrays], static):
            expected = ", ".join([*first, *op.signature.arrays, *op.signature.statics])
            raise TypeError(
                f"op {op.name!r}: its {role}{_at(function)} takes {inspect.signature(function)}; "
                f"it must take ({expected})"
            )


# --------------------------------------------------------------------------------- forward


def checked_pair(op: Any, result: Any) -> tuple:
    """result, what the forward of a fused op returned; TypeError unless it is (y, residuals)."""
    if type(result) is tuple and len(result) == 2:
        return result
    raise TypeError(
        f"op {op.name!r}: its forward{_at(op.forward)} returned {_described(result)}; the forward "
        "of a fused op returns a pair (y, residuals), residuals None if backward needs nothing else"
    )


def check_outputs(op: Any, y: Any, arrays: Sequence) -> None:
    """TypeError unless y is an array or a tuple of arrays, and no view that was not declared."""
    if isinstance(y, np.generic):
        return
    for output in y if type(y) is tuple and y else [y]:
        if not is_array(output):
            raise TypeError(
                f"op {op.name!r}: its forward{_at(op.forward)} returned {_described(output)}; "
                f"return {_remedy_for(output)}"
            )
        for i, x in enumerate(() if op.views else arrays):
            if same_memory(output, x):
                raise TypeError(
                    f"op {op.name!r}: its forward{_at(op.forward)} returned a view of argument "
                    f"{op.signature.argument(i)!r}, where an optimizer step would show; return a "
                    "copy, or declare views=True"
                )


def checked_definition(op: Any, results: Any, num_outputs: int | None, g: Any) -> tuple:
    """results, what the definition of a fused op returned, as a tuple of handles.

    TypeError for another number of outputs than num_outputs, ShapeError for shapes other than g's.
    """
    several = type(results) is tuple
    ys = results if several else (results,)
    found = len(ys) if several else None
    if found != num_outputs or not all(isinstance(y, Traced) for y in ys):
        expected = "one tensor" if num_outputs is None else f"a tuple of {num_outputs} tensors"
        got = f"a tuple of {len(ys)}" if several else _described(results)
        raise TypeError(
            f"op {op.name!r}: its definition{_at(op.definition)} returned {got}; return {expected},"
            " computed with ops from the arguments, as forward returns arrays"
        )
    for y, gy in zip(ys, g if isinstance(g, tuple) else (g,)):
        if gy is not None and y.data.shape != gy.shape:
            raise ShapeError(
                f"op {op.name!r}: its definition{_at(op.definition)} returned shape {y.data.shape}"
                f" where forward returned {gy.shape}"
            )
    return ys


def _remedy_for(output):
    """What forward must return instead of output."""
    if isinstance(output, Traced):
        return "an array: forward gets raw arrays, and computes with .data of other tensors"
    if isinstance(output, list | tuple):
        return "an array, or a tuple of arrays for several outputs"
    return "an array, as np.asarray(value) for a number"


def is_array(x: Any) -> bool:
    """Whether x is a NumPy or CuPy array, or a NumPy scalar, NumPy's result of shape ()."""
    return type(x) in ARRAYS or isinstance(x, np.generic) or is_cupy(x)


def same_memory(y: Any, x: Any) -> bool:
    """Whether the array y is x, or shares its memory."""
    if y is x:
        return True
    if getattr(y, "base", None) is None:
        return False
    if isinstance(y, np.ndarray) and isinstance(x, np.ndarray):
        return np.may_share_memory(y, x)
    return y.base is x or y.base is getattr(x, "base", x)


# ------------------------------------------------------------------------------------ rules


def checked_cotangent(op: Any, i: int, gx: Any, x: Any, g: Any, create_graph: bool) -> Any:
    """gx, what the rule for argument i returned, in the dtype of the argument x.

    TypeError, ShapeError or DTypeError if gx is no cotangent of x.
    """
    if gx is None:
        if op.rule(i, create_graph) is None:  # no rule was called
            return None
        raise TypeError(
            f"{_rule(op, i)} returned None; return an array of zeros where the derivative is 0, or "
            "declare None in place of the rule if there is no derivative"
        )
    if isinstance(gx, Spec):
        raise _not_saved(op, i, [op.signature.argument(i)])
    array = gx.data if create_graph and isinstance(gx, Traced) else gx
    if not is_array(array):
        text = f"returned {_described(array)}; return an array"
        if isinstance(array, Traced):
            text += ": it gets raw arrays, and computes with .data of other tensors"
        raise TypeError(f"{_rule(op, i)} {text} of shape {x.shape}")
    if array.shape != x.shape:
        raise ShapeError(
            f"{_rule(op, i)} returned shape {array.shape} for an argument of shape {x.shape}; "
            "sum over what was broadcast, or undo what forward did to the shape"
        )
    if array.dtype == x.dtype:
        return gx
    dtype_of_g = next(p.dtype for p in (g if isinstance(g, tuple) else (g,)) if p is not None)
    if array.dtype.kind != "f" or dtype_of_g == x.dtype:
        raise DTypeError(
            f"{_rule(op, i)} returned dtype {array.dtype} for an argument of {x.dtype}; compute in "
            "the dtype of g, with Python numbers as constants, or end with .astype(g.dtype)"
        )
    return gx.astype(x.dtype)  # float32 and float64 arguments: each gradient has its own dtype


def checked_cotangents(op: Any, found: Any) -> list:
    """found, what the backward of a fused op returned, as a list with one value for each array."""
    names = op.signature.arrays
    if isinstance(found, list | tuple) and len(found) == len(names):
        return list(found)
    got = f"{len(found)} values" if isinstance(found, list | tuple) else _described(found)
    raise TypeError(
        f"{_rule(op, 0)} returned {got}; return a tuple with one cotangent for each of "
        f"({', '.join(names)}), None where wanted is false"
    )


def explain_rule(error: Exception, op: Any, g: Any, node: Any, wanted: Sequence) -> None:
    """Raise a clearer error than error, or add a note to it that names the rule that raised it."""
    raw = lambda x: x.data if isinstance(x, Traced) else x
    g = tuple(map(raw, g)) if isinstance(g, tuple) else raw(g)
    for i in range(len(wanted)):
        rule = op.rule(i, False) if wanted[i] else None
        if rule is None:
            continue
        values = op.values_for_rule(i, g, node, wanted)
        if not _accepts(rule, values.values(), node.static):
            raise TypeError(
                f"{_rule(op, i)} takes {inspect.signature(rule)}; it must take "
                f"({', '.join([*values, *op.signature.statics])})"
            ) from error
        if _error_of(rule, values, node.static) is not None:
            if unsaved := _unsaved_reads(rule, values, g, node.static):
                raise _not_saved(op, i, unsaved) from error
            error.add_note(f"raised by {_rule(op, i)}")
            return
    error.add_note(
        f"the rules of op {op.name!r}{_at(op.forward)} work on arrays, but not on tensors, which "
        "create_graph gives them; write them with operators and minigen's ops, not with NumPy's"
    )


def _unsaved_reads(rule, values, g, static):
    """The names of values that the rule reads but did not save.

    Found by trial: with arrays of ones in place of these values, the rule does not raise.
    """
    stand_ins = {name: np.ones(x.shape, x.dtype) for name, x in values.items() if type(x) is Spec}
    if values.get("y") is NOT_SAVED:
        ones = lambda part: np.ones(part.shape, part.dtype)
        stand_ins["y"] = tuple(map(ones, filter(is_array, g))) if isinstance(g, tuple) else ones(g)
    for name, value in stand_ins.items():
        if _error_of(rule, {**values, name: value}, static) is None:
            return [name]
    return list(stand_ins) if _error_of(rule, {**values, **stand_ins}, static) is None else []


def _not_saved(op, i, names):
    text = " and ".join(map(repr, names))
    return TypeError(f"{_rule(op, i)} reads {text}, which it did not save; add {text} to its saves")


def _error_of(rule: Callable, values: dict, static: dict) -> Exception | None:
    """The exception that the rule raises for these values; None if it raises none."""
    try:
        rule(*values.values(), **static)
    except Exception as error:  # a reader's rule may fail in any way
        return error
    return None


def _accepts(function, values, static):
    """Whether function can be called with these arguments, by its signature."""
    try:
        inspect.signature(function).bind(*values, **static)
    except TypeError:
        return False
    except ValueError:  # a function of C without a signature
        pass
    return True


# ------------------------------------------------------------------------------------ words


def _rule(op, i):
    """The subject of a sentence about the rule for argument i."""
    rule = op.rule(i, False)
    if rule is getattr(op, "backward", None):
        return f"op {op.name!r}: its backward{_at(rule)}"
    return f"op {op.name!r}: the rule for argument {op.signature.argument(i)!r}{_at(rule)}"


def _at(function: Callable) -> str:
    """The line where a function is defined: " (file.py:12)"."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""


def _described(x: Any) -> str:
    """The type of x with its article: "a list"; or "None"."""
    name = type(x).__name__
    if x is None:
        return "None"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
