"""Numbers as a person writes them: (1 / 3) for 0.3333333333333333, math.sqrt(2 / math.pi)."""

import math
import re
from typing import Any

import numpy as np

NUMBER = re.compile(r"(?<![\w.])\d+\.\d{7,}(?:e-?\d+)?(?![\w.])")
NAMED = {  # factors of erf and gelu, and of logarithms and powers of other bases than e
    math.sqrt(2 / math.pi): "math.sqrt(2 / math.pi)",
    math.sqrt(0.5): "math.sqrt(0.5)",
    2 / math.sqrt(math.pi): "(2 / math.sqrt(math.pi))",
    1 / math.sqrt(2 * math.pi): "(1 / math.sqrt(2 * math.pi))",
    math.log(2): "math.log(2)",
    math.log(10): "math.log(10)",
}
LARGEST = 4096  # under a root: the width of a head, for example


def with_factors(text: str, dtype: Any) -> str:
    """The text with quotients and roots in place of numbers that are the same in a dtype."""
    same = np.float32 if dtype == np.float32 else float
    return NUMBER.sub(lambda match: _factor(match.group(), same), text)


def _factor(digits: str, same: type) -> str:
    value = float(digits)
    if value in NAMED:
        return NAMED[value]
    for numerator in (1, 2, 3, 4):
        divisor = round(numerator / value) if value else 0
        if divisor and same(numerator / divisor) == same(value):
            return f"({numerator} / {divisor})"
    square = round(1 / value**2) if value else 0
    if 1 < square <= LARGEST and 1 / math.sqrt(square) == value:
        return f"(1 / math.sqrt({square}))"
    return digits
