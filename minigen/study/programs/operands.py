"""What passes between a program and the NumPy lines that its ops become.

The product of the operands `x` and `w - 1` is the text `x @ (w - 1)`: `expressions.filled` puts one
expression into another, with the brackets that it needs there.
"""

from typing import Any, NamedTuple


class Operand(NamedTuple):
    """An argument of an op as text; a number or None of Python's has no dtype."""

    text: str
    shape: tuple[int, ...]
    dtype: Any


class Written(NamedTuple):
    """An op as an expression; helpers: names of the functions that the program must define."""

    text: str
    helpers: tuple[str, ...] = ()
