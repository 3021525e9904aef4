"""Special functions."""

import numpy as np

from minigen.kernels.cpu import vector_math
from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.reference import functions as reference


@compiled(fastmath=CONTRACT)
def _erf(x, y):
    for i in range(x.size):
        y[i] = vector_math.erf(x[i])


def erf(x):
    x = np.asarray(x)
    flat = np.ascontiguousarray(x).reshape(-1)
    y = np.empty_like(flat)
    _erf(flat, y)
    return y.reshape(x.shape)


SMALL = 2048  # elements; smaller arrays are not worth the call


@compiled
def _relu(x, zero, y):
    for i in range(y.size):
        value = x[i]
        y[i] = zero if value <= zero else value


def relu(x):
    if not isinstance(x, np.ndarray) or x.size < SMALL or x.dtype.kind != "f":
        return reference.relu(x)
    y = np.empty(x.shape, x.dtype)  # NumPy's maximum with a scalar takes ten times as long
    _relu(np.ascontiguousarray(x).reshape(-1), x.dtype.type(0), y.reshape(-1))
    return y


# np.where branches on each element, which a random mask makes slow; these loops select instead,
# because both sides are read whatever the condition says.


@compiled
def _select(condition, a, b, y):
    for i in range(y.size):
        first, second = a[i], b[i]
        y[i] = first if condition[i] else second


@compiled
def _select_or_scalar(condition, a, scalar, y):
    for i in range(y.size):
        first = a[i]
        y[i] = first if condition[i] else scalar


def select(condition, a, b):
    sides = [x for x in (a, b) if isinstance(x, np.ndarray)]
    scalars = [x for x in (a, b) if type(x) is float]
    small = not isinstance(condition, np.ndarray) or condition.size < SMALL
    if small or len(sides) + len(scalars) < 2 or not sides:
        return reference.select(condition, a, b)
    dtype = sides[0].dtype
    same = all(x.shape == condition.shape and x.dtype == dtype for x in sides)
    if not same or dtype.kind != "f" or condition.dtype != np.bool_:
        return reference.select(condition, a, b)
    y = np.empty(condition.shape, dtype)
    flat = [np.ascontiguousarray(x).reshape(-1) for x in (condition, *sides)]
    if not scalars:
        _select(*flat, y.reshape(-1))
    elif sides[0] is a:
        _select_or_scalar(*flat, dtype.type(b), y.reshape(-1))
    else:
        _select_or_scalar(~flat[0], flat[1], dtype.type(a), y.reshape(-1))
    return y
