"""RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning, 2012)."""

import numpy as np

from minigen import kernels
from minigen.optim.optimizer import Optimizer, Params


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(s) + eps), with s a moving mean of g^2.

    With momentum p -= lr * v, where v = momentum * v + g / (sqrt(s) + eps). weight_decay * p is
    added to the gradient g.
    """

    SETTINGS = ("lr", "alpha", "eps", "weight_decay", "momentum")
    kernel = staticmethod(kernels.rmsprop)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ):
        super().__init__(
            params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum
        )

    def state_arrays(self, group):
        return "square_avg", "momentum_buffer" if group["momentum"] else None

    @staticmethod
    def formula(p, g, s, v, lr, alpha, eps, weight_decay, momentum):
        g = g + weight_decay * p
        s[...] = alpha * s + (1 - alpha) * g * g
        step = g / (np.sqrt(s) + eps)
        if v is not None:
            v[...] = momentum * v + step
            step = v
        p -= lr * step
