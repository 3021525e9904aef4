"""Optimizer steps in one pass over memory, written into the parameters.

A kernel takes rows (p, g, *state), one for each parameter, and the settings, as the optimizer's
`formula` does. It updates the rows whose arrays are all contiguous and of the dtype of p, and
returns the others, which the optimizer updates by its formula.
"""

import math

from minigen.kernels.cpu.compiling import CONTRACT, compiled
from minigen.kernels.cpu.loops import parallel_for_groups

NS_PER_ELEMENT = 1.2  # roughly, on one thread: the number of tasks depends on it

# Settings come as Python floats. The loops convert them to the dtype of p: one double operand would
# make a loop over float32 compute in double. In a loop all arrays are (N,).


def sgd(rows, settings):
    """`optim.SGD.formula` for each row; returns the rows that are not updated."""
    flat, rest = _flattened(rows)
    parallel_for_groups(_sgd, flat, NS_PER_ELEMENT, *settings.tolist())
    return rest


@compiled(fastmath=CONTRACT)
def _sgd(p, g, v, lr, momentum, dampening, weight_decay, nesterov):
    """`optim.SGD.formula`; without momentum v is neither read nor written."""
    real = p.dtype.type
    lr, weight_decay, gain = real(lr), real(weight_decay), real(1 - dampening)
    if momentum == 0:
        for i in range(p.size):
            p[i] -= lr * (g[i] + weight_decay * p[i])
        return
    momentum = real(momentum)
    for i in range(p.size):
        g_i = g[i] + weight_decay * p[i]
        v_i = momentum * v[i] + gain * g_i
        v[i] = v_i
        p[i] -= lr * (g_i + momentum * v_i if nesterov else v_i)


def rmsprop(rows, settings):
    """`optim.RMSprop.formula` for each row; returns the rows that are not updated."""
    flat, rest = _flattened(rows)
    centered = rows[0][4] is not None  # as in all rows
    parallel_for_groups(_rmsprop, flat, NS_PER_ELEMENT, *settings.tolist(), centered)
    return rest


@compiled(fastmath=CONTRACT)
def _rmsprop(p, g, s, v, m, lr, alpha, eps, weight_decay, momentum, centered):
    """`optim.RMSprop.formula`; without momentum v, and m if not centered, are left alone."""
    real = p.dtype.type
    one_minus_alpha, alpha, lr = real(1 - alpha), real(alpha), real(lr)
    eps, weight_decay, zero = real(eps), real(weight_decay), real(0)
    with_momentum, momentum = momentum != 0, real(momentum)
    for i in range(p.size):
        g_i = g[i] + weight_decay * p[i]
        s_i = alpha * s[i] + one_minus_alpha * g_i * g_i
        s[i] = s_i
        if centered:
            m_i = alpha * m[i] + one_minus_alpha * g_i
            m[i] = m_i
            s_i = max(s_i - m_i * m_i, zero)  # rounding may make it negative
        step = g_i / (math.sqrt(s_i) + eps)
        if with_momentum:
            step += momentum * v[i]
            v[i] = step
        p[i] -= lr * step


def adam(rows, settings):
    """`optim.Adam.formula` for each row; returns the rows that are not updated."""
    *_, weight_decay, _ = settings.tolist()
    return _adam_steps(rows, settings, 1.0, weight_decay)


def adamw(rows, settings):
    """`optim.AdamW.formula` for each row; returns the rows that are not updated."""
    lr, *_, weight_decay, _ = settings.tolist()
    return _adam_steps(rows, settings, 1 - lr * weight_decay, 0.0)


def _adam_steps(rows, settings, p_factor, l2):
    """`_adam` or `_amsgrad` for each row; settings (lr, beta1, beta2, eps, weight_decay, step)."""
    lr, beta1, beta2, eps, _, step = settings.tolist()
    step_size, sqrt_correction = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
    flat, rest = _flattened(rows)
    constants = step_size, beta1, beta2, sqrt_correction, eps, p_factor, l2
    if rows[0][4] is None:  # as in all rows
        parallel_for_groups(_adam, [arrays[:4] for arrays in flat], NS_PER_ELEMENT, *constants)
    else:
        parallel_for_groups(_amsgrad, flat, NS_PER_ELEMENT, *constants)
    return rest


@compiled(fastmath=CONTRACT)
def _adam(p, g, m, v, step_size, beta1, beta2, sqrt_correction, eps, p_factor, l2):
    """`optim.Adam.formula`, with its two bias corrections computed before the loop.

    step_size = lr / (1 - beta1^t), sqrt_correction = sqrt(1 - beta2^t). p is multiplied by
    p_factor, AdamW's weight decay; l2 * p is added to g, Adam's.
    """
    real = p.dtype.type
    one_minus_beta1, beta2, one_minus_beta2 = real(1 - beta1), real(beta2), real(1 - beta2)
    step_size, eps, p_factor, l2 = real(step_size), real(eps), real(p_factor), real(l2)
    inverse_correction = real(1 / sqrt_correction)  # a division takes ten times a multiplication
    for i in range(p.size):
        p_i = p[i]
        g_i = g[i] + l2 * p_i
        m_i = m[i] + one_minus_beta1 * (g_i - m[i])
        v_i = beta2 * v[i] + one_minus_beta2 * g_i * g_i
        m[i] = m_i
        v[i] = v_i
        p[i] = p_factor * p_i - step_size * m_i / (math.sqrt(v_i) * inverse_correction + eps)


@compiled(fastmath=CONTRACT)
def _amsgrad(p, g, m, v, largest, step_size, beta1, beta2, sqrt_correction, eps, p_factor, l2):
    """`_adam` with the largest v so far in place of v.

    A function of its own, as the loop of `_adam`, which most steps take, must not read `largest`.
    """
    real = p.dtype.type
    one_minus_beta1, beta2, one_minus_beta2 = real(1 - beta1), real(beta2), real(1 - beta2)
    step_size, eps, p_factor, l2 = real(step_size), real(eps), real(p_factor), real(l2)
    inverse_correction = real(1 / sqrt_correction)
    for i in range(p.size):
        p_i = p[i]
        g_i = g[i] + l2 * p_i
        m_i = m[i] + one_minus_beta1 * (g_i - m[i])
        v_i = beta2 * v[i] + one_minus_beta2 * g_i * g_i
        m[i] = m_i
        v[i] = v_i
        v_i = max(v_i, largest[i])
        largest[i] = v_i
        p[i] = p_factor * p_i - step_size * m_i / (math.sqrt(v_i) * inverse_correction + eps)


def _flattened(rows):
    """(flat, rest): rows as flat views, and the rows that have an array without one.

    An array of another dtype than p, or one that is not contiguous, has no such view. None, for a
    state array that is not used, is replaced by p.
    """
    flat, rest = [], []
    for row in rows:
        p, views = row[0], []
        for x in row:
            if x is not None and (not x.flags.c_contiguous or x.dtype != p.dtype):
                rest.append(row)
                break
            views.append(views[0] if x is None else x.ravel())
        else:
            flat.append(views)
    return flat, rest
