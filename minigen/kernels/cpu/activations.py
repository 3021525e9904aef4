"""Activations and binary cross-entropy with logits, elementwise: one pass over memory each.

As NumPy expressions they take five to fifteen passes, each with a temporary array.

Constants are converted to the dtype of the array before a loop. A Python number is a double, and
one double operand would make a loop over float32 compute in double.
"""

import math

import numpy as np

from minigen.kernels.cpu import vector_math as vm
from minigen.kernels.cpu.compiling import CONTRACT, REASSOCIATE, U, compiled, inlined
from minigen.kernels.cpu.loops import flat, parallel_for
from minigen.kernels.reference import activations as reference
from minigen.kernels.reference.activations import FAR
from minigen.parallel import pool
from minigen.parallel.pieces import shares

NS_PER_ELEMENT = 1.5  # roughly, on one thread: the number of tasks depends on it
MIN_SIZE = 2048  # elements: with fewer, NumPy's tanh is done before a call of a kernel has begun
MIN_ROW = 64  # elements: bce_total sums row by row if rows have as many, else all in one sum


def _same_shape_and_dtype(*arrays):
    """Whether all are arrays of one shape and dtype, as the loops need."""
    types = {(x.shape, x.dtype) if isinstance(x, np.ndarray) else None for x in arrays}
    return len(types) == 1 and None not in types


def _elementwise(loop, *arrays):
    """A new array like the last one, which loop(*flat arrays, flat result) has written."""
    y = np.empty(arrays[-1].shape, arrays[-1].dtype)
    parallel_for(loop, [*map(flat, arrays), y.reshape(-1)], NS_PER_ELEMENT)
    return y


# In the loops below all arrays are (N,) and of one dtype.


@compiled(fastmath=CONTRACT)
def _sigmoid(x, y):
    """y = 1 / (1 + exp(-x))."""
    for i in range(y.size):
        y[i] = vm.sigmoid(x[i])


def sigmoid(x):
    """`reference.sigmoid` in one pass."""
    return _elementwise(_sigmoid, x) if _same_shape_and_dtype(x) else reference.sigmoid(x)


@compiled(fastmath=CONTRACT)
def _softplus(x, y):
    """y = max(x, 0) + log(1 + exp(-|x|))."""
    zero = x.dtype.type(0)
    for i in range(y.size):
        y[i] = max(x[i], zero) + vm.log1p_unit_interval(vm.exp(-abs(x[i])))


def softplus(x):
    """`reference.softplus` in one pass."""
    return _elementwise(_softplus, x) if _same_shape_and_dtype(x) else reference.softplus(x)


@compiled(fastmath=CONTRACT)
def _tanh(x, y):
    """y = tanh(x)."""
    for i in range(y.size):
        y[i] = vm.tanh(x[i])


def tanh(x):
    """`reference.tanh`; NumPy's takes six times as long on processors without AVX-512."""
    if x.size < MIN_SIZE or not _same_shape_and_dtype(x):
        return reference.tanh(x)
    return _elementwise(_tanh, x)


@inlined(fastmath=CONTRACT)
def _bounded(x, far):
    """x in [-far, far]; NaN for NaN."""
    x = -far if x < -far else x
    return far if x > far else x


@compiled(fastmath=CONTRACT)
def _gelu(x, y):
    """y = x Phi(x), Phi(x) = (1 + erf(x / sqrt(2))) / 2."""
    real = x.dtype.type
    half, one, sqrt_half, far = real(0.5), real(1), real(math.sqrt(0.5)), real(-FAR)
    for i in range(y.size):
        x_i = far if x[i] < far else x[i]
        y[i] = half * x_i * (one + vm.erf(x_i * sqrt_half))


def gelu(x):
    """`reference.gelu` in one pass."""
    return _elementwise(_gelu, x) if _same_shape_and_dtype(x) else reference.gelu(x)


@compiled(fastmath=CONTRACT)
def _gelu_vjp(g, x, gx):
    """gx = g (Phi(x) + x phi(x)), phi(x) = exp(-x^2 / 2) / sqrt(2 pi)."""
    real = x.dtype.type
    half, one, sqrt_half = real(0.5), real(1), real(math.sqrt(0.5))
    phi_of_0, far = real(1 / math.sqrt(2 * math.pi)), real(FAR)
    for i in range(gx.size):
        x_i = _bounded(x[i], far)
        density = phi_of_0 * vm.exp(-half * x_i * x_i)
        gx[i] = g[i] * (half * (one + vm.erf(x_i * sqrt_half)) + x_i * density)


def gelu_vjp(g, x):
    """`reference.gelu_vjp` in one pass."""
    same = _same_shape_and_dtype(g, x)
    return _elementwise(_gelu_vjp, g, x) if same else reference.gelu_vjp(g, x)


@compiled(fastmath=CONTRACT)
def _silu(x, y):
    """y = x sigmoid(x)."""
    far = x.dtype.type(-FAR)
    for i in range(y.size):
        y[i] = (far if x[i] < far else x[i]) * vm.sigmoid(x[i])


def silu(x):
    """`reference.silu` in one pass."""
    return _elementwise(_silu, x) if _same_shape_and_dtype(x) else reference.silu(x)


@compiled(fastmath=CONTRACT)
def _silu_vjp(g, x, gx):
    """gx = g s (1 + x (1 - s)), s = sigmoid(x)."""
    one, far = x.dtype.type(1), x.dtype.type(FAR)
    for i in range(gx.size):
        s = vm.sigmoid(x[i])
        gx[i] = g[i] * (s * (one + _bounded(x[i], far) * (one - s)))


def silu_vjp(g, x):
    """`reference.silu_vjp` in one pass."""
    same = _same_shape_and_dtype(g, x)
    return _elementwise(_silu_vjp, g, x) if same else reference.silu_vjp(g, x)


@compiled(fastmath=CONTRACT)
def _gelu_tanh(x, y):
    """y = x (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    real = x.dtype.type
    half, one, scale, cubic = real(0.5), real(1), real(math.sqrt(2 / math.pi)), real(0.044715)
    far = real(-FAR)
    for i in range(y.size):
        x_i = far if x[i] < far else x[i]
        t = vm.tanh(scale * x_i * (one + cubic * x_i * x_i))
        y[i] = half * x_i * (one + t)


def gelu_tanh(x):
    """`reference.gelu_tanh` in one pass."""
    return _elementwise(_gelu_tanh, x) if _same_shape_and_dtype(x) else reference.gelu_tanh(x)


@compiled(fastmath=CONTRACT)
def _gelu_tanh_vjp(g, x, gx):
    """gx = g / 2 (1 + t + x (1 - t^2) du/dx), t = tanh(u) as in `_gelu_tanh`."""
    real = x.dtype.type
    half, one, scale, cubic = real(0.5), real(1), real(math.sqrt(2 / math.pi)), real(0.044715)
    three_cubic, far = real(3 * 0.044715), real(FAR)
    for i in range(gx.size):
        x_i = _bounded(x[i], far)
        square = x_i * x_i
        t = vm.tanh(scale * x_i * (one + cubic * square))
        du = scale * (one + three_cubic * square)
        gx[i] = g[i] * half * (one + t + x_i * (one - t * t) * du)


def gelu_tanh_vjp(g, x):
    """`reference.gelu_tanh_vjp` in one pass."""
    same = _same_shape_and_dtype(g, x)
    return _elementwise(_gelu_tanh_vjp, g, x) if same else reference.gelu_tanh_vjp(g, x)


@compiled(fastmath=CONTRACT)
def _bce_with_logits(x, t, y):
    """y = log(1 + exp(-|x|)) + |x| w, w = 1 - t for x >= 0, else t; no |x| where w is 0."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(y.size):
        size, t_i = abs(x[i]), t[i]
        denied = one - t_i if x[i] >= zero else t_i
        line = zero if denied == zero else size * denied
        y[i] = line + vm.log1p_unit_interval(vm.exp(-size))


def bce_with_logits(x, t):
    """`reference.bce_with_logits` in one pass."""
    same = _same_shape_and_dtype(x, t)
    return _elementwise(_bce_with_logits, x, t) if same else reference.bce_with_logits(x, t)


@compiled(fastmath=CONTRACT)
def _bce_with_logits_vjp(g, x, t, gx):
    """gx = g (sigmoid(x) - t)."""
    for i in range(gx.size):
        gx[i] = g[i] * (vm.sigmoid(x[i]) - t[i])


@compiled(fastmath=CONTRACT)
def _bce_with_logits_vjp_of_sum(x, t, gx, g):
    """gx = g (sigmoid(x) - t) for a number g."""
    for i in range(gx.size):
        gx[i] = g * (vm.sigmoid(x[i]) - t[i])


def bce_with_logits_vjp(g, x, t):
    """`reference.bce_with_logits_vjp` in one pass."""
    if not _same_shape_and_dtype(g, x, t) or not g.size:
        return reference.bce_with_logits_vjp(g, x, t)
    if any(g.strides):
        return _elementwise(_bce_with_logits_vjp, g, x, t)
    # The cotangent of a sum is one number, broadcast with strides of 0. `flat` would copy it to an
    # array of the size of x.
    gx = np.empty(x.shape, x.dtype)
    arrays = [flat(x), flat(t), flat(gx)]
    parallel_for(_bce_with_logits_vjp_of_sum, arrays, NS_PER_ELEMENT, g.flat[0])
    return gx


@inlined(fastmath=REASSOCIATE)
def _sum(x):
    """The sum of x (N,) in double. `rows.row_sum` has slices, 0.15 s more to compile."""
    total = 0.0
    for i in range(x.size):
        total += x[i]
    return total


@compiled(fastmath=CONTRACT)
def _bce_total(x, t, slopes, totals, losses):
    """slopes = sigmoid(x) - t, totals = the sum of bce_with_logits(x, t) over each row.

    x, t and slopes (M, N), totals (M,) float64; losses (N,) is a buffer for those of one row.
    Loss and slope share one exponential, which is most of the work.
    """
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for n in range(U(len(x))):
        for i in range(U(losses.size)):
            x_i, t_i = x[n, i], t[n, i]
            size = abs(x_i)
            e = vm.exp(-size)
            denied = one - t_i if x_i >= zero else t_i
            line = zero if denied == zero else size * denied
            losses[i] = line + vm.log1p_unit_interval(e)
            slopes[n, i] = (one if x_i >= zero else e) / (one + e) - t_i
        totals[n] = _sum(losses)


def bce_total(x, t):
    """`reference.bce_total` in one pass; the sums over rows are added in double."""
    if not _same_shape_and_dtype(x, t) or not x.ndim or not x.size:
        return reference.bce_total(x, t)
    width = x.shape[-1] if x.shape[-1] >= MIN_ROW else x.size
    slopes, totals = np.empty(x.shape, x.dtype), np.empty(x.size // width)
    arrays = [flat(array).reshape(-1, width) for array in (x, t, slopes)]
    slices = shares(totals.size, x.size * NS_PER_ELEMENT)
    new_buffer = lambda: np.empty(width, x.dtype)
    tasks = [(*(array[s] for array in arrays), totals[s], new_buffer()) for s in slices]
    pool.run(_bce_total, tasks)
    return x.dtype.type(totals.sum()), slopes
