"""Activations, the special functions under them, and the loss that goes with the sigmoid.

One pass over memory each, a thread for each element. `select` needs no twin: CuPy's `where` is
one pass already.
"""

import numpy as np

from minigen.backend.arrays import array_module, is_cupy
from minigen.kernels import reference
from minigen.kernels.gpu.launching import C_TYPES, dense, launch_items


def _each(kernel, *arrays, constants=()):
    """What the twin of a reference kernel makes of arrays of one float dtype, broadcast.

    The reference makes it of others.
    """
    dtypes = {x.dtype if is_cupy(x) else None for x in arrays}
    dtype = dtypes.pop()
    if dtypes or dtype not in C_TYPES:
        return kernel(*arrays, *constants)
    xp, shape = array_module(arrays[0]), np.broadcast_shapes(*(x.shape for x in arrays))
    y = xp.empty(shape, dtype)
    inputs = [dense(xp.broadcast_to(x, shape)) for x in arrays]
    name = f"each_{kernel.__name__}"
    launch_items("activations.cu", name, dtype, y.size, *inputs, y, *map(float, constants))
    return y


def erf(x):
    return _each(reference.erf, x)


def relu(x):
    return _each(reference.relu, x)


def relu_vjp(g, y):
    return _each(reference.relu_vjp, g, y)


def leaky_relu(x, negative_slope):
    return _each(reference.leaky_relu, x, constants=(negative_slope,))


def leaky_relu_vjp(g, x, negative_slope):
    return _each(reference.leaky_relu_vjp, g, x, constants=(negative_slope,))


def sigmoid(x):
    return _each(reference.sigmoid, x)


def softplus(x):
    return _each(reference.softplus, x)


def gelu(x):
    return _each(reference.gelu, x)


def gelu_vjp(g, x):
    return _each(reference.gelu_vjp, g, x)


def gelu_tanh(x):
    return _each(reference.gelu_tanh, x)


def gelu_tanh_vjp(g, x):
    return _each(reference.gelu_tanh_vjp, g, x)


def bce_with_logits(x, t):
    return _each(reference.bce_with_logits, x, t)


def bce_with_logits_vjp(g, x, t):
    return _each(reference.bce_with_logits_vjp, g, x, t)


def bce_total(x, t):
    return bce_with_logits(x, t).sum(), sigmoid(x) - t
