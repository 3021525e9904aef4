"""Optimizer steps, written into the parameters: as fast as memory can read four arrays.

Each takes rows (p, g, *arrays of the state) and settings as the optimizer's formula does, and
returns the rows that it leaves to the formula: those whose arrays are not contiguous.
"""

import math

from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.loops import over_all

NANOSECONDS = 1.2  # an element, about


def sgd(rows, settings):
    flat, rest = _flattened(rows)
    over_all(_sgd, flat, NANOSECONDS, *settings.tolist())
    return rest


@compiled(fastmath=CONTRACT)
def _sgd(p, g, v, lr, momentum, nesterov, decay):
    """`optim.SGD.formula`; v is not touched without momentum."""
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


def rmsprop(rows, settings):
    flat, rest = _flattened(rows)
    over_all(_rmsprop, flat, NANOSECONDS, *settings.tolist())
    return rest


@compiled(fastmath=CONTRACT)
def _rmsprop(p, g, s, v, lr, alpha, eps, decay, momentum):
    """`optim.RMSprop.formula`; v is not touched without momentum."""
    real = p.dtype.type
    rest, alpha, lr = real(1 - alpha), real(alpha), real(lr)
    eps, decay = real(eps), real(decay)
    with_momentum, momentum = momentum != 0, real(momentum)
    for i in range(p.size):
        g_i = g[i] + decay * p[i]
        s_i = alpha * s[i] + rest * g_i * g_i
        s[i] = s_i
        step = g_i / (math.sqrt(s_i) + eps)
        if with_momentum:
            step += momentum * v[i]
            v[i] = step
        p[i] -= lr * step


def adam(rows, settings):
    *_, weight_decay, _ = settings.tolist()
    return _adam_steps(rows, settings, 1.0, weight_decay)


def adamw(rows, settings):
    lr, *_, weight_decay, _ = settings.tolist()
    return _adam_steps(rows, settings, 1 - lr * weight_decay, 0.0)


def _adam_steps(rows, settings, shrinkage, decay):
    lr, beta1, beta2, eps, _, step = settings.tolist()
    step_size, root = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
    flat, rest = _flattened(rows)
    over_all(_adam, flat, NANOSECONDS, step_size, beta1, beta2, root, eps, shrinkage, decay)
    return rest


@compiled(fastmath=CONTRACT)
def _adam(p, g, m, v, step_size, beta1, beta2, root, eps, shrinkage, decay):
    """`optim.Adam.formula`, with the two corrections of bias taken out of the loop.

    p is scaled by shrinkage first, which is AdamW's weight decay; decay is Adam's.
    """
    real = p.dtype.type
    rest1, beta2, rest2 = real(1 - beta1), real(beta2), real(1 - beta2)
    step_size, eps, shrinkage, decay = real(step_size), real(eps), real(shrinkage), real(decay)
    over_root = real(1 / root)  # a division takes as long as ten multiplications
    for i in range(p.size):
        p_i = p[i]
        g_i = g[i] + decay * p_i
        m_i = m[i] + rest1 * (g_i - m[i])
        v_i = beta2 * v[i] + rest2 * g_i * g_i
        m[i] = m_i
        v[i] = v_i
        p[i] = shrinkage * p_i - step_size * m_i / (math.sqrt(v_i) * over_root + eps)


def _flattened(rows):
    """The rows as views of one axis, p in the place of None; and the rows that are not views."""
    flat, rest = [], []
    for row in rows:
        p, views = row[0], []
        for x in row:
            if x is not None and (not x.flags.c_contiguous or x.dtype != p.dtype):
                rest.append(row)
                break
            views.append((p if x is None else x).ravel())
        else:
            flat.append(views)
    return flat, rest
