"""Cases of comparisons and logic, whose references are NumPy's functions."""

import numpy as np

from minigen.testing.case import Case


def _draw_compared(c):
    """Values on a coarse grid, of which many are equal, with NaN and infinities among them."""
    values = [c.integer_array(shape, -2, 3) / 2 for shape in c.broadcastable(2)]
    far = c.pick((0.0, np.nan, np.inf, -np.inf))
    return tuple(np.asarray(np.where(x == 1, far, x)) for x in values), {}


def _draw_truth_values(c):
    a, b = c.broadcastable(2)
    return (np.asarray(c.integer_array(a, -1, 2) / 2), c.mask(b)), {}


def _draw_truth_value(c):
    return (np.asarray(c.integer_array(c.shape(), -1, 2) / 2),), {}


def _bits(c, shape):
    return c.mask(shape) if c.flag() else c.integer_array(shape, -5, 5)


def _draw_bits(c):
    return tuple(_bits(c, shape) for shape in c.broadcastable(2)), {}


def _draw_bit(c):
    return (_bits(c, c.shape()),), {}


COMPARING = {
    "eq": Case(np.equal, _draw_compared, raw=True),
    "ne": Case(np.not_equal, _draw_compared, raw=True),
    "lt": Case(np.less, _draw_compared, raw=True),
    "le": Case(np.less_equal, _draw_compared, raw=True),
    "gt": Case(np.greater, _draw_compared, raw=True),
    "ge": Case(np.greater_equal, _draw_compared, raw=True),
    "logical_not": Case(np.logical_not, _draw_truth_value, raw=True),
    "logical_and": Case(np.logical_and, _draw_truth_values, raw=True),
    "logical_or": Case(np.logical_or, _draw_truth_values, raw=True),
    "logical_xor": Case(np.logical_xor, _draw_truth_values, raw=True),
    "bitwise_not": Case(np.invert, _draw_bit, raw=True),
    "bitwise_and": Case(np.bitwise_and, _draw_bits, raw=True),
    "bitwise_or": Case(np.bitwise_or, _draw_bits, raw=True),
    "bitwise_xor": Case(np.bitwise_xor, _draw_bits, raw=True),
}
