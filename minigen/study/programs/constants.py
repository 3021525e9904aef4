"""Constants as text: numbers, and arrays that depend on no argument."""

from typing import Any

import numpy as np

from minigen.study.programs.array_lines import reshape_line
from minigen.study.programs.operands import Operand
from minigen.study.programs.simplify import uniform

LITERAL = 40  # a literal of more characters gets a name of its own


def number_operand(x: Any) -> Operand:
    """A number of Python, or another setting, as an operand."""
    if isinstance(x, float) and not np.isfinite(x):
        text = "np.nan" if x != x else "np.inf" if x > 0 else "-np.inf"
    else:
        text = repr(x)
    return Operand(text, (), None)


def typed_number(x: Any, dtype: Any) -> Operand:
    """A number with a dtype: np.float64(0.5)."""
    name = "np.bool_" if dtype == np.bool_ else f"np.{dtype.name}"
    return Operand(f"{name}({number_operand(shortened(x, dtype)).text})", (), dtype)


def shortened(x: Any, dtype: Any) -> Any:
    """A number as the shortest one that is the same in a dtype: 0.1 in float32."""
    if dtype == np.float32 and isinstance(x, float) and np.isfinite(x):
        return float(str(np.float32(x)))
    return x


def array_text(array: Any) -> str:
    """An expression for a constant array."""
    value, shape = uniform(array), array.shape
    dtype = "bool" if array.dtype == np.bool_ else f"np.{array.dtype.name}"
    of_dtype = "" if array.dtype == np.float64 else f", {dtype}"
    if array.size == 0 or (value == 0 and not np.signbit(value)):
        return f"np.zeros({shape}{of_dtype})"
    if value is not None:
        if not shape:
            return typed_number(value, array.dtype).text
        text = number_operand(shortened(value, array.dtype)).text
        return (
            f"np.ones({shape}{of_dtype})" if value == 1 else f"np.full({shape}, {text}{of_dtype})"
        )
    return _range_text(array) or _triangle_text(array) or _literal(array, dtype)


def _range_text(array: Any) -> str:
    """np.arange(n), along one axis; "" for another array."""
    if array.dtype.kind != "i" or max(array.shape) != array.size:
        return ""
    flat = array.reshape(-1)
    if not (flat == np.arange(flat.size)).all():
        return ""
    dtype = "" if array.dtype == np.int64 else f", dtype=np.{array.dtype.name}"
    row = Operand(f"np.arange({flat.size}{dtype})", flat.shape, flat.dtype)
    return reshape_line([row], {}, [(array.shape, array.dtype)]).text


def _triangle_text(array: Any) -> str:
    """np.tri(n, m, dtype=bool), the mask of causal attention; "" for another array."""
    if array.ndim != 2 or array.dtype != np.bool_ or not (array == np.tri(*array.shape)).all():
        return ""
    n, m = array.shape
    return f"np.tri({n}{'' if n == m else f', {m}'}, dtype=bool)"


def _literal(array: Any, dtype: str) -> str:
    def text(x):
        if isinstance(x, list):
            return f"[{', '.join(map(text, x))}]"
        return number_operand(shortened(x, array.dtype)).text

    return f"np.array({text(array.tolist())}, {dtype})"
