"""Optimizer steps, written into the parameters."""

from minigen.backend import array_module


def adam(p, m, v, g, step_size, beta1, beta2, root, eps, shrink, decay):
    """One Adam update in place; all arrays of one shape, p and m and v written.

    g += decay * p (into a copy); p *= shrink; m, v: moving means of g and g^2;
    p -= step_size * m / (sqrt(v) / root + eps).
    """
    if decay:
        g = g + decay * p
    if shrink != 1:
        p *= shrink
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * g * g
    p -= step_size * m / (array_module(p).sqrt(v) / root + eps)
    return p
