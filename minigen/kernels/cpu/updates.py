"""Optimizer steps, written into the parameters: as fast as memory can read four arrays."""

import math

from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.loops import flat, over
from minigen.kernels.reference import updates as reference

NANOSECONDS = 1.2  # an element, about


@compiled(fastmath=CONTRACT)
def _adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    real = p.dtype.type  # a double among float32 would make the loop compute in double
    rest1, beta2, rest2 = real(1 - beta1), real(beta2), real(1 - beta2)
    step_size, eps, shrink, decay = real(step_size), real(eps), real(shrink), real(decay)
    over_root = real(1 / root)  # a division takes as long as ten multiplications
    for i in range(p.size):
        p_i = p[i]
        g_i = g[i] + decay * p_i
        m_i = m[i] + rest1 * (g_i - m[i])
        v_i = beta2 * v[i] + rest2 * g_i * g_i
        m[i] = m_i
        v[i] = v_i
        p[i] = shrink * p_i - step_size * m_i / (math.sqrt(v_i) * over_root + eps)


def adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    constants = tuple(map(float, (step_size, beta1, beta2, root, eps, shrink, decay)))
    if not (p.flags.c_contiguous and m.flags.c_contiguous and v.flags.c_contiguous):
        return reference.adam(p, m, v, g, *constants)
    arrays = [p.reshape(-1), m.reshape(-1), v.reshape(-1), flat(g)]
    over(_adam, arrays, NANOSECONDS, *constants)
    return p
