"""RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning, 2012)."""

import numpy as np

from minigen import kernels
from minigen.optim.groups import Params
from minigen.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(s) + eps), with s a moving mean of g^2: s = alpha * s + (1 - alpha) g^2.

    params: tensors or groups. lr: the learning rate. weight_decay: times p, it is added to the
    gradient g. momentum: p -= lr * v, where v = momentum * v + g / (sqrt(s) + eps). centered:
    sqrt(s - m^2), with m a moving mean of g, in place of sqrt(s) (Graves 2013). maximize: ascend.
    PyTorch's foreach and capturable are ignored.
    """

    SETTINGS = ("lr", "alpha", "eps", "weight_decay", "momentum")
    STATE = {"square_avg": None, "momentum_buffer": "momentum", "grad_avg": "centered"}
    kernel = staticmethod(kernels.rmsprop)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **implementation: bool | None,
    ):
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        settings |= {"momentum": momentum, "centered": centered, "maximize": maximize}
        super().__init__(params, implementation, **settings)

    @staticmethod
    def formula(p, g, s, v, m, lr, alpha, eps, weight_decay, momentum):
        g = g + weight_decay * p
        s[...] = alpha * s + (1 - alpha) * g * g
        variance = s
        if m is not None:
            m[...] = alpha * m + (1 - alpha) * g
            variance = np.maximum(s - m * m, 0)  # rounding may make it negative
        step = g / (np.sqrt(variance) + eps)
        if v is not None:
            v[...] = momentum * v + step
            step = v
        p -= lr * step
