"""Stochastic gradient descent, with momentum of Polyak (1964) or of Nesterov (1983)."""

from minigen import kernels
from minigen.optim.optimizer import Optimizer, Params


class SGD(Optimizer):
    """p -= lr * v, with v = momentum * v + g.

    nesterov: p -= lr * (g + momentum * v). weight_decay * p is added to the gradient g. ValueError
    for nesterov without momentum.
    """

    SETTINGS = ("lr", "momentum", "nesterov", "weight_decay")
    kernel = staticmethod(kernels.sgd)

    def __init__(
        self,
        params: Params,
        lr: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum")
        super().__init__(
            params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
        )

    def state_arrays(self, group):
        return ("momentum_buffer" if group["momentum"] else None,)

    @staticmethod
    def formula(p, g, v, lr, momentum, nesterov, weight_decay):
        g = g + weight_decay * p
        if v is not None:
            v[...] = momentum * v + g
            g = g + momentum * v if nesterov else v
        p -= lr * g
