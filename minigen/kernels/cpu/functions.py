"""erf, relu, leaky relu and select, elementwise: one pass over memory each."""

import numpy as np

from minigen.kernels.cpu import vector_math
from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.loops import flat, parallel_for
from minigen.kernels.reference import functions as reference

NS_PER_ELEMENT = 0.5  # roughly, on one thread: the number of tasks depends on it
MIN_SIZE = 2048  # elements: with fewer, NumPy is done before a call of a kernel has begun


@compiled(fastmath=CONTRACT)
def _erf(x, y):
    """y = erf(x); x and y (N,)."""
    for i in range(x.size):
        y[i] = vector_math.erf(x[i])


def erf(x):
    """`reference.erf`, by `vector_math.erf`."""
    x = np.asarray(x)
    y = np.empty(x.shape, x.dtype)
    parallel_for(_erf, [flat(x), y.reshape(-1)], 2 * NS_PER_ELEMENT)
    return y


@compiled
def _relu(x, y, zero):
    """y = max(x, 0), NaN where x is NaN; x and y (N,), zero in their dtype."""
    for i in range(y.size):
        value = x[i]
        y[i] = zero if value <= zero else value


def relu(x):
    """`reference.relu`, ten times as fast as NumPy's maximum of an array and a scalar."""
    if not isinstance(x, np.ndarray) or x.size < MIN_SIZE or x.dtype.kind != "f":
        return reference.relu(x)
    y = np.empty(x.shape, x.dtype)
    parallel_for(_relu, [flat(x), y.reshape(-1)], NS_PER_ELEMENT, x.dtype.type(0))
    return y


@compiled
def _relu_vjp(g, y, gx, zero):
    """gx = g where y is positive or NaN, else 0; all (N,), zero in their dtype."""
    for i in range(gx.size):
        g_i = g[i]  # read before the choice, which then needs no branch: see `_select`
        gx[i] = zero if y[i] <= zero else g_i


def relu_vjp(g, y):
    """`reference.relu_vjp` in a vectorized loop."""
    if y.size < MIN_SIZE or g.dtype != y.dtype or g.shape != y.shape:
        return reference.relu_vjp(g, y)
    gx = np.empty(y.shape, y.dtype)
    parallel_for(_relu_vjp, [flat(g), flat(y), gx.reshape(-1)], NS_PER_ELEMENT, y.dtype.type(0))
    return gx


@compiled(fastmath=CONTRACT)
def _leaky_relu_vjp(g, x, gx, slope):
    """gx = g where x is positive, else slope * g; all (N,), slope in their dtype."""
    for i in range(gx.size):
        g_i = g[i]
        gx[i] = g_i if x[i] > 0 else g_i * slope


def leaky_relu(x, negative_slope):
    """`reference.leaky_relu`: its own VJP with the cotangent x."""
    return leaky_relu_vjp(x, x, negative_slope)


def leaky_relu_vjp(g, x, negative_slope):
    """`reference.leaky_relu_vjp` in a vectorized loop."""
    if x.size < MIN_SIZE or x.dtype.kind != "f" or g.dtype != x.dtype or g.shape != x.shape:
        return reference.leaky_relu_vjp(g, x, negative_slope)
    gx, slope = np.empty(x.shape, x.dtype), x.dtype.type(negative_slope)
    parallel_for(_leaky_relu_vjp, [flat(g), flat(x), gx.reshape(-1)], NS_PER_ELEMENT, slope)
    return gx


# np.where branches on each element, which takes 5 ns an element where the condition is random and
# the processor cannot predict it. These loops read both values whatever the condition is, so that
# LLVM compiles the choice to a select instruction: 0.2 ns.


@compiled
def _select(condition, a, b, y):
    """y = a where condition is true, else b; all (N,)."""
    for i in range(y.size):
        first, second = a[i], b[i]
        y[i] = first if condition[i] else second


@compiled
def _select_or_scalar(condition, a, y, scalar):
    """y = a where condition is true, else the scalar; the arrays (N,)."""
    for i in range(y.size):
        first = a[i]
        y[i] = first if condition[i] else scalar


def select(condition, a, b):
    """`reference.select` without branches, for arrays of one shape and at most one Python float."""
    arrays = [x for x in (a, b) if isinstance(x, np.ndarray)]
    scalars = [x for x in (a, b) if type(x) is float]
    small = not isinstance(condition, np.ndarray) or condition.size < MIN_SIZE
    if small or len(arrays) + len(scalars) < 2 or not arrays:
        return reference.select(condition, a, b)
    dtype = arrays[0].dtype
    same = all(x.shape == condition.shape and x.dtype == dtype for x in arrays)
    if not same or dtype.kind != "f" or condition.dtype != np.bool_:
        return reference.select(condition, a, b)
    y = np.empty(condition.shape, dtype)
    condition, *arrays = [flat(x) for x in (condition, *arrays)]
    out = y.reshape(-1)
    if not scalars:
        parallel_for(_select, [condition, *arrays, out], NS_PER_ELEMENT)
    elif scalars[0] is b:
        parallel_for(_select_or_scalar, [condition, *arrays, out], NS_PER_ELEMENT, dtype.type(b))
    else:
        parallel_for(_select_or_scalar, [~condition, *arrays, out], NS_PER_ELEMENT, dtype.type(a))
    return y
