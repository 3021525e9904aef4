"""Elementwise activations, the functions that they need, and the binary cross-entropy of logits.

Each but `bce_total` is one launch, a thread for each element. `reference.select` has no twin here:
CuPy's `where` is one pass already.
"""

import numpy as np

from minigen.backend.arrays import array_module, is_cupy
from minigen.kernels import reference
from minigen.kernels.gpu.launching import dense, have_kernel_dtype, launch_items


def _elementwise(kernel, *arrays, constants=()):
    """The result of the CUDA twin of a reference kernel, for arrays that are broadcast.

    The reference kernel itself runs if the arrays are not all CuPy arrays of one float dtype.
    """
    if not (all(map(is_cupy, arrays)) and have_kernel_dtype(*arrays)):
        return kernel(*arrays, *constants)
    xp, shape = array_module(arrays[0]), np.broadcast_shapes(*(x.shape for x in arrays))
    y = xp.empty(shape, arrays[0].dtype)
    inputs = [dense(xp.broadcast_to(x, shape)) for x in arrays]
    name = f"each_{kernel.__name__}"
    launch_items("activations.cu", name, y.dtype, y.size, *inputs, y, *map(float, constants))
    return y


def erf(x):
    """`reference.erf` in one pass."""
    return _elementwise(reference.erf, x)


def relu(x):
    """`reference.relu` in one pass."""
    return _elementwise(reference.relu, x)


def relu_vjp(g, y):
    """`reference.relu_vjp` in one pass."""
    return _elementwise(reference.relu_vjp, g, y)


def leaky_relu(x, negative_slope):
    """`reference.leaky_relu` in one pass."""
    return _elementwise(reference.leaky_relu, x, constants=(negative_slope,))


def leaky_relu_vjp(g, x, negative_slope):
    """`reference.leaky_relu_vjp` in one pass."""
    return _elementwise(reference.leaky_relu_vjp, g, x, constants=(negative_slope,))


def sigmoid(x):
    """`reference.sigmoid` in one pass."""
    return _elementwise(reference.sigmoid, x)


def softplus(x):
    """`reference.softplus` in one pass."""
    return _elementwise(reference.softplus, x)


def gelu(x):
    """`reference.gelu` in one pass."""
    return _elementwise(reference.gelu, x)


def gelu_vjp(g, x):
    """`reference.gelu_vjp` in one pass."""
    return _elementwise(reference.gelu_vjp, g, x)


def silu(x):
    """`reference.silu` in one pass."""
    return _elementwise(reference.silu, x)


def silu_vjp(g, x):
    """`reference.silu_vjp` in one pass."""
    return _elementwise(reference.silu_vjp, g, x)


def gelu_tanh(x):
    """`reference.gelu_tanh` in one pass."""
    return _elementwise(reference.gelu_tanh, x)


def gelu_tanh_vjp(g, x):
    """`reference.gelu_tanh_vjp` in one pass."""
    return _elementwise(reference.gelu_tanh_vjp, g, x)


def bce_with_logits(x, t):
    """`reference.bce_with_logits` in one pass."""
    return _elementwise(reference.bce_with_logits, x, t)


def bce_with_logits_vjp(g, x, t):
    """`reference.bce_with_logits_vjp` in one pass."""
    return _elementwise(reference.bce_with_logits_vjp, g, x, t)


def bce_total(x, t):
    """`reference.bce_total`: the sum of the losses, and its derivative with respect to x."""
    return reference.sum_over(bce_with_logits(x, t), None), sigmoid(x) - t
