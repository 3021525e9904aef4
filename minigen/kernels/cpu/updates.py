"""Optimizer steps, written into the parameters: as fast as memory can read four arrays."""

import math

from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.loops import over_all
from minigen.kernels.reference import updates as reference

NANOSECONDS = 1.2  # an element, about


@compiled(fastmath=CONTRACT)
def _sgd(p, v, g, lr, momentum, nesterov, decay):
    real = p.dtype.type  # a double among float32 would make the loop compute in double
    lr, decay = real(lr), real(decay)
    if momentum == 0:
        for i in range(p.size):
            p[i] -= lr * (g[i] + decay * p[i])
        return
    momentum = real(momentum)
    for i in range(p.size):
        g_i = g[i] + decay * p[i]
        v_i = momentum * v[i] + g_i
        v[i] = v_i
        p[i] -= lr * (g_i + momentum * v_i if nesterov else v_i)


def sgd(ps, vs, gs, settings):
    rows = _flat([ps, vs or ps, gs], reference.sgd, settings)  # v: not touched without momentum
    over_all(_sgd, rows, NANOSECONDS, *settings.tolist())
    return ps


@compiled(fastmath=CONTRACT)
def _adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    real = p.dtype.type
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


def adam(ps, ms, vs, gs, settings):
    rows = _flat([ps, ms, vs, gs], reference.adam, settings)
    over_all(_adam, rows, NANOSECONDS, *settings.tolist())
    return ps


def _flat(lists, reference_kernel, settings):
    """The arrays that belong together, as views of one axis; those that are none are stepped."""
    rows = []
    for row in zip(*lists, strict=True):
        views = [x.ravel() for x in row if x.flags.c_contiguous]
        if len(views) == len(row) and row[-1].shape == row[0].shape:
            rows.append(views)
        else:
            reference_kernel(*([x] for x in row), settings)
    return rows
