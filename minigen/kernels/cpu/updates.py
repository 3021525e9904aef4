"""Optimizer steps, written into the parameters."""

import math

from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.loops import flat, over
from minigen.kernels.reference import updates as reference

NANOSECONDS = 1.2  # an element, about


@compiled(fastmath=CONTRACT)
def _adam(p, m, v, g, step_size, rest1, beta2, rest2, root, eps, shrink, decay):
    for i in range(p.size):
        gi = g[i] + decay * p[i]
        m[i] += rest1 * (gi - m[i])
        v[i] = beta2 * v[i] + rest2 * gi * gi
        p[i] = shrink * p[i] - step_size * m[i] / (math.sqrt(v[i]) / root + eps)


def adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    if not (p.flags.c_contiguous and m.flags.c_contiguous and v.flags.c_contiguous):
        return reference.adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay)
    cast = p.dtype.type  # a float64 among float32 would make the loop compute in double
    constants = (step_size, 1 - beta1, beta2, 1 - beta2, root, eps, shrink, decay)
    arrays = [p.reshape(-1), m.reshape(-1), v.reshape(-1), flat(g)]
    over(_adam, arrays, NANOSECONDS, *map(cast, constants))
    return p
