"""Activations and the loss that goes with the sigmoid: one pass over memory each.

In NumPy each is five to fifteen passes, through as many temporary arrays. Constants are made in
the type of the array: a Python number is a double, and one double makes all of a loop double.
"""

import math

import numpy as np

from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from minigen.kernels.cpu.loops import flat, over
from minigen.kernels.cpu.tiles import U
from minigen.kernels.reference import activations as reference
from minigen.parallel import pool
from minigen.parallel.pieces import shares

NANOSECONDS = 1.5  # an element, about
SMALL = 2048  # elements: NumPy's tanh is done with fewer before a kernel has begun
SHORT = 64  # elements: a row of fewer is not worth its own sum


def _alike(*arrays):
    """Whether all are arrays of one shape and dtype, as the loops need."""
    kinds = {(x.shape, x.dtype) if isinstance(x, np.ndarray) else None for x in arrays}
    return len(kinds) == 1 and None not in kinds


def _written(loop, *arrays):
    """What the loop writes, an array like the last one, given flat arrays."""
    y = np.empty(arrays[-1].shape, arrays[-1].dtype)
    over(loop, [*map(flat, arrays), y.reshape(-1)], NANOSECONDS)
    return y


@compiled(fastmath=CONTRACT)
def _sigmoid(x, y):
    for i in range(y.size):
        y[i] = vm.sigmoid(x[i])


def sigmoid(x):
    return _written(_sigmoid, x) if _alike(x) else reference.sigmoid(x)


@compiled(fastmath=CONTRACT)
def _softplus(x, y):
    zero = x.dtype.type(0)
    for i in range(y.size):
        y[i] = max(x[i], zero) + vm.log1p_of_share(vm.exp(-abs(x[i])))


def softplus(x):
    return _written(_softplus, x) if _alike(x) else reference.softplus(x)


@compiled(fastmath=CONTRACT)
def _tanh(x, y):
    for i in range(y.size):
        y[i] = vm.tanh(x[i])


def tanh(x):
    return _written(_tanh, x) if x.size >= SMALL and _alike(x) else reference.tanh(x)


@compiled(fastmath=CONTRACT)
def _gelu(x, y):
    real = x.dtype.type
    half, one, root = real(0.5), real(1), real(math.sqrt(0.5))
    for i in range(y.size):
        y[i] = half * x[i] * (one + vm.erf(x[i] * root))


def gelu(x):
    return _written(_gelu, x) if _alike(x) else reference.gelu(x)


@compiled(fastmath=CONTRACT)
def _gelu_vjp(g, x, y):
    real = x.dtype.type
    half, one, root = real(0.5), real(1), real(math.sqrt(0.5))
    top = real(1 / math.sqrt(2 * math.pi))
    for i in range(y.size):
        density = top * vm.exp(-half * x[i] * x[i])
        y[i] = g[i] * (half * (one + vm.erf(x[i] * root)) + x[i] * density)


def gelu_vjp(g, x):
    return _written(_gelu_vjp, g, x) if _alike(g, x) else reference.gelu_vjp(g, x)


@compiled(fastmath=CONTRACT)
def _gelu_tanh(x, y):
    real = x.dtype.type
    half, one, scale, cubic = real(0.5), real(1), real(math.sqrt(2 / math.pi)), real(0.044715)
    for i in range(y.size):
        t = vm.tanh(scale * x[i] * (one + cubic * x[i] * x[i]))
        y[i] = half * x[i] * (one + t)


def gelu_tanh(x):
    return _written(_gelu_tanh, x) if _alike(x) else reference.gelu_tanh(x)


@compiled(fastmath=CONTRACT)
def _gelu_tanh_vjp(g, x, y):
    real = x.dtype.type
    half, one, scale, cubic = real(0.5), real(1), real(math.sqrt(2 / math.pi)), real(0.044715)
    steeper = real(3 * 0.044715)
    for i in range(y.size):
        square = x[i] * x[i]
        t = vm.tanh(scale * x[i] * (one + cubic * square))
        slope = scale * (one + steeper * square)
        y[i] = g[i] * half * (one + t + x[i] * (one - t * t) * slope)


def gelu_tanh_vjp(g, x):
    return _written(_gelu_tanh_vjp, g, x) if _alike(g, x) else reference.gelu_tanh_vjp(g, x)


@compiled(fastmath=CONTRACT)
def _bce_with_logits(x, t, y):
    zero = x.dtype.type(0)
    for i in range(y.size):
        bent = vm.log1p_of_share(vm.exp(-abs(x[i])))
        y[i] = max(x[i], zero) - x[i] * t[i] + bent


def bce_with_logits(x, t):
    return _written(_bce_with_logits, x, t) if _alike(x, t) else reference.bce_with_logits(x, t)


@compiled(fastmath=CONTRACT)
def _bce_with_logits_vjp(g, x, t, y):
    for i in range(y.size):
        y[i] = g[i] * (vm.sigmoid(x[i]) - t[i])


@compiled(fastmath=CONTRACT)
def _bce_with_logits_slope(x, t, y, level):
    for i in range(y.size):
        y[i] = level * (vm.sigmoid(x[i]) - t[i])


def bce_with_logits_vjp(g, x, t):
    if not _alike(g, x, t) or not g.size:
        return reference.bce_with_logits_vjp(g, x, t)
    if any(g.strides):
        return _written(_bce_with_logits_vjp, g, x, t)
    # The cotangent of a sum is one number, repeated by strides of 0: not worth an array.
    y = np.empty(x.shape, x.dtype)
    over(_bce_with_logits_slope, [flat(x), flat(t), flat(y)], NANOSECONDS, g.flat[0])
    return y


@inlined(fastmath=REASSOCIATE)
def _sum(x):
    total = 0.0  # a double; the slices of rows.total_of would take 0.15 s more to compile
    for i in range(x.size):
        total += x[i]
    return total


@compiled(fastmath=CONTRACT)
def _bce_totals(x, t, slopes, totals, losses):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for n in range(U(len(x))):
        for i in range(U(losses.size)):  # the one exponential is most of the work
            x_i, t_i = x[n, i], t[n, i]
            small = vm.exp(-abs(x_i))
            losses[i] = max(x_i, zero) - x_i * t_i + vm.log1p_of_share(small)
            slopes[n, i] = (one if x_i >= zero else small) / (one + small) - t_i
        totals[n] = _sum(losses)


def bce_total(x, t):
    if not _alike(x, t) or not x.ndim or not x.size:
        return reference.bce_total(x, t)
    width = x.shape[-1] if x.shape[-1] >= SHORT else x.size
    slopes, totals = np.empty(x.shape, x.dtype), np.empty(x.size // width)
    arrays = [flat(array).reshape(-1, width) for array in (x, t, slopes)]
    cuts = shares(totals.size, x.size * NANOSECONDS)
    losses = lambda: np.empty(width, x.dtype)  # of the row that is worked on
    pieces = [(*(array[s] for array in arrays), totals[s], losses()) for s in cuts]
    pool.run(_bce_totals, pieces)
    return x.dtype.type(totals.sum()), slopes
