"""Special functions."""

import math

import numpy as np

from minigen.kernels.cpu.compiling import compiled


@compiled
def _erf(x, y):
    for i in range(x.size):
        y[i] = math.erf(x[i])


def erf(x):
    x = np.asarray(x)
    flat = np.ascontiguousarray(x).reshape(-1)
    y = np.empty_like(flat)
    _erf(flat, y)
    return y.reshape(x.shape)
