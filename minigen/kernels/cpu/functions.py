"""Special functions."""

import numpy as np

from minigen.kernels.cpu import vector_math
from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.loops import flat, over
from minigen.kernels.reference import functions as reference

NANOSECONDS = 0.5  # an element, about
SMALL = 2048  # elements; smaller arrays are not worth the call


@compiled(fastmath=CONTRACT)
def _erf(x, y):
    for i in range(x.size):
        y[i] = vector_math.erf(x[i])


def erf(x):
    x = np.asarray(x)
    y = np.empty(x.shape, x.dtype)
    over(_erf, [flat(x), y.reshape(-1)], 2 * NANOSECONDS)
    return y


@compiled
def _relu(x, y, zero):
    for i in range(y.size):
        value = x[i]
        y[i] = zero if value <= zero else value


def relu(x):
    if not isinstance(x, np.ndarray) or x.size < SMALL or x.dtype.kind != "f":
        return reference.relu(x)
    y = np.empty(x.shape, x.dtype)  # NumPy's maximum with a scalar takes ten times as long
    over(_relu, [flat(x), y.reshape(-1)], NANOSECONDS, x.dtype.type(0))
    return y


@compiled
def _relu_vjp(g, y, gx, zero):
    for i in range(gx.size):
        passed = g[i]
        gx[i] = zero if y[i] <= zero else passed


def relu_vjp(g, y):
    if y.size < SMALL or g.dtype != y.dtype or g.shape != y.shape:
        return reference.relu_vjp(g, y)
    gx = np.empty(y.shape, y.dtype)
    over(_relu_vjp, [flat(g), flat(y), gx.reshape(-1)], NANOSECONDS, y.dtype.type(0))
    return gx


@compiled(fastmath=CONTRACT)
def _leaky_relu_vjp(g, x, gx, slope):
    for i in range(gx.size):
        passed = g[i]
        gx[i] = passed if x[i] > 0 else passed * slope


def leaky_relu(x, negative_slope):
    return leaky_relu_vjp(x, x, negative_slope)


def leaky_relu_vjp(g, x, negative_slope):
    if x.size < SMALL or x.dtype.kind != "f" or g.dtype != x.dtype or g.shape != x.shape:
        return reference.leaky_relu_vjp(g, x, negative_slope)
    gx, slope = np.empty(x.shape, x.dtype), x.dtype.type(negative_slope)
    over(_leaky_relu_vjp, [flat(g), flat(x), gx.reshape(-1)], NANOSECONDS, slope)
    return gx


# np.where branches on each element, which a random mask makes slow; these loops select instead,
# because both sides are read whatever the condition says.


@compiled
def _select(condition, a, b, y):
    for i in range(y.size):
        first, second = a[i], b[i]
        y[i] = first if condition[i] else second


@compiled
def _select_or_scalar(condition, a, y, scalar):
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
    condition, *sides = [flat(x) for x in (condition, *sides)]
    if not scalars:
        over(_select, [condition, *sides, y.reshape(-1)], NANOSECONDS)
    elif scalars[0] is b:
        over(_select_or_scalar, [condition, *sides, y.reshape(-1)], NANOSECONDS, dtype.type(b))
    else:
        over(_select_or_scalar, [~condition, *sides, y.reshape(-1)], NANOSECONDS, dtype.type(a))
    return y
