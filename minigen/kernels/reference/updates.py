"""Optimizer steps, written into the parameters: lists of arrays, of which those at one place match.

The constants come as an array, so that a recorded launch on a GPU can be run again with others:
settings is a float64 NumPy array wherever the parameters are, of the numbers that each names.
"""

from minigen.backend import array_module


def sgd(ps, vs, gs, settings):
    """One step of gradient descent in place; settings: lr, momentum, nesterov, decay.

    g += decay * p (into a copy); v = momentum * v + g; p -= lr * v, or with nesterov
    p -= lr * (g + momentum * v). Without momentum vs is None, and g takes the place of v.
    """
    lr, momentum, nesterov, decay = settings.tolist()
    for p, v, g in zip(ps, vs or gs, gs, strict=True):
        if decay:
            g = g + decay * p
        if momentum:
            v *= momentum
            v += g
            g = g + momentum * v if nesterov else v
        p -= lr * g
    return ps


def adam(ps, ms, vs, gs, settings):
    """One Adam step in place; settings: step_size, beta1, beta2, root, eps, shrink, decay.

    g += decay * p (into a copy); p *= shrink; m, v: moving means of g and g^2;
    p -= step_size * m / (sqrt(v) / root + eps).
    """
    step_size, beta1, beta2, root, eps, shrink, decay = settings.tolist()
    for p, m, v, g in zip(ps, ms, vs, gs, strict=True):
        if decay:
            g = g + decay * p
        if shrink != 1:
            p *= shrink
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * g * g
        p -= step_size * m / (array_module(p).sqrt(v) / root + eps)
    return ps
