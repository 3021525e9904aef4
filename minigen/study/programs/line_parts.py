"""What lines of NumPy are made of: operands and their numbers, axes, dtypes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.backend.dtypes import NOT_ARRAYS
from minigen.study.programs.expressions import filled, literal
from minigen.study.programs.operands import Operand, Written

ShapeAndDtype = tuple[tuple[int, ...], Any]  # the shape and the dtype of a result
NUMBERS = {"None": None, "True": True, "False": False}


def is_array(x: Any) -> bool:
    """Whether an operand is an array, and no number or None of Python's."""
    return x.dtype is not None


def number_of(x: Operand) -> Any:
    """The number that an operand is: bool, int or float, or None."""
    if x.text in NUMBERS:
        return NUMBERS[x.text]
    try:
        return int(x.text)
    except ValueError:
        return float(x.text.replace("np.", "").replace("math.", ""))


def with_text(written: Written, shape: tuple[int, ...], dtype: Any) -> Operand:
    """An expression as an operand of another one."""
    return Operand(written.text, shape, dtype)


def converted(args: Sequence[Operand], prepare: Callable, promotes: bool) -> list[Operand]:
    """The operands as an op's forward gets them: integers as floats, if it works with floats.

    promotes: whether NumPy's function promotes its arguments; they stay as they are if it does so
    to the same dtype.
    """
    values = [np.empty(0, x.dtype) if is_array(x) else number_of(x) for x in args]
    targets = [None if type(x) in NOT_ARRAYS else x.dtype for x in prepare(values)]
    if all(x.dtype == target for x, target in zip(args, targets)):
        return list(args)
    if promotes and {np.result_type(*values)} == {t for t in targets if t is not None}:
        return list(args)
    return [x if x.dtype == target else astype(x, target) for x, target in zip(args, targets)]


def astype(x: Operand, dtype: Any) -> Operand:
    """The operand in another dtype."""
    return with_text(one(f"x.astype({literal(dtype)})", x), x.shape, dtype)


def one(template: str, x: Operand, *helpers: str) -> Written:
    """The template with the operand in place of x."""
    return filled(template, {"x": x.text}, helpers)


def unchanged(x: Operand) -> Written:
    """The operand itself."""
    return Written(x.text)


def axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """The axes that are meant, as numbers from 0 on, in ascending order."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(i % ndim for i in (axis if isinstance(axis, tuple | list) else (axis,))))


def axis_text(axis: int | tuple[int, ...] | None, ndim: int) -> str:
    """axis= as the argument of a reduction; nothing if all axes are meant."""
    if axis is None or (axes_of(axis, ndim) == tuple(range(ndim)) and ndim):
        return ""
    if isinstance(axis, tuple | list):
        axis = axis[0] if len(axis) == 1 else tuple(axis)
    return f"axis={literal(axis)}"


def arguments(*texts: str) -> str:
    """Arguments of a call, without those that are empty."""
    return ", ".join(filter(None, texts))


def sum_dtype(dtype: np.dtype) -> str:
    """dtype= for sums of integers that NumPy would not add in int64."""
    return "dtype=np.int64" if dtype.kind == "u" else ""
