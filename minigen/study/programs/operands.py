"""What passes between a program and the NumPy lines that its ops become.

The product of the operands `x` and `w - 1` is the text `x @ (w - 1)`: the operator of the second
one binds less tightly than that of the product, which is what `precedence` tells.
"""

from typing import Any, NamedTuple

ATOM = 100  # the precedence of names, calls, subscripts and literals
POWER, UNARY, PRODUCT, SUM = 90, 80, 70, 60  # **   -x   * / // % @   + -
BIT_AND, BIT_OR, COMPARISON, ANY = 50, 40, 30, 0  # &   |   < == >=   a lambda, or `a if b else c`


class Operand(NamedTuple):
    """An argument of an op as text; a number or None of Python's has no dtype."""

    text: str
    shape: tuple[int, ...]
    dtype: Any
    precedence: int = ATOM


class Written(NamedTuple):
    """An op as an expression; helpers: names of the functions that the program must define."""

    text: str
    precedence: int = ATOM
    helpers: tuple[str, ...] = ()


def bracketed(x: Operand | Written, precedence: int) -> str:
    """The text, in brackets if its operator binds less tightly than one of that precedence."""
    return x.text if x.precedence >= precedence else f"({x.text})"
