"""Comparisons and logic: elementwise ops whose results are truth values or bits, not numbers.

They have no derivative (each rule is None), so their results are constants: a comparison of tensors
is a tensor that requires no gradient.
"""

import numpy as np

from minigen.autodiff.primitives import primitive
from minigen.backend.arrays import Array
from minigen.backend.dtypes import NOT_ARRAYS, as_array, checked
from minigen.errors import DTypeError


def _listed(args):
    """args checked, lists and tuples as arrays."""
    if list in map(type, args) or tuple in map(type, args):
        args = [as_array(x) if type(x) in (list, tuple) else x for x in args]
    return checked(args)


def _bits(args):
    """args checked; DTypeError for floats, which have no bits to combine."""
    for x in checked(args):
        dtype = float if type(x) is float else bool if type(x) in NOT_ARRAYS else x.dtype
        if np.dtype(dtype).kind == "f":
            raise DTypeError(f"~, &, | and ^ are for booleans and integers, not for {dtype}")
    return args


# ---------------------------------------------------------------------------- comparisons


@primitive(None, None, prepare=_listed)
def eq(a: Array, b: Array) -> Array:
    """a == b, elementwise."""
    return np.equal(a, b)


@primitive(None, None, prepare=_listed)
def ne(a: Array, b: Array) -> Array:
    """a != b, elementwise."""
    return np.not_equal(a, b)


@primitive(None, None, prepare=_listed)
def lt(a: Array, b: Array) -> Array:
    """a < b, elementwise."""
    return np.less(a, b)


@primitive(None, None, prepare=_listed)
def le(a: Array, b: Array) -> Array:
    """a <= b, elementwise."""
    return np.less_equal(a, b)


@primitive(None, None, prepare=_listed)
def gt(a: Array, b: Array) -> Array:
    """a > b, elementwise."""
    return np.greater(a, b)


@primitive(None, None, prepare=_listed)
def ge(a: Array, b: Array) -> Array:
    """a >= b, elementwise."""
    return np.greater_equal(a, b)


# ---------------------------------------------------------------------------------- logic


@primitive(None)
def logical_not(x: Array) -> Array:
    """Whether each value is 0."""
    return np.logical_not(x)


@primitive(None, None)
def logical_and(a: Array, b: Array) -> Array:
    """Whether neither a nor b is 0, elementwise."""
    return np.logical_and(a, b)


@primitive(None, None)
def logical_or(a: Array, b: Array) -> Array:
    """Whether a or b is not 0, elementwise."""
    return np.logical_or(a, b)


@primitive(None, None)
def logical_xor(a: Array, b: Array) -> Array:
    """Whether one of a and b is 0 and the other is not, elementwise."""
    return np.logical_xor(a, b)


@primitive(None, prepare=_bits)
def bitwise_not(x: Array) -> Array:
    """~x: not x of booleans, -1 - x of signed integers."""
    return np.invert(x)


@primitive(None, None, prepare=_bits)
def bitwise_and(a: Array, b: Array) -> Array:
    """a & b of booleans or integers."""
    return np.bitwise_and(a, b)


@primitive(None, None, prepare=_bits)
def bitwise_or(a: Array, b: Array) -> Array:
    """a | b of booleans or integers."""
    return np.bitwise_or(a, b)


@primitive(None, None, prepare=_bits)
def bitwise_xor(a: Array, b: Array) -> Array:
    """a ^ b of booleans or integers."""
    return np.bitwise_xor(a, b)
