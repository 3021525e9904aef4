"""Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019)."""

import numpy as np

from minigen import kernels
from minigen.optim.optimizer import Optimizer, Params


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), with m and v the unbiased moving means of g and g^2.

    weight_decay * p is added to the gradient g.
    """

    SETTINGS = ("lr", "beta1", "beta2", "eps", "weight_decay", "step")
    kernel = staticmethod(kernels.adam)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay)

    def settings(self, group):
        beta1, beta2 = group["betas"]
        return {**group, "beta1": beta1, "beta2": beta2}

    def state_arrays(self, group):
        return "exp_avg", "exp_avg_sq"

    @staticmethod
    def formula(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step):
        g = g + weight_decay * p
        m[...] = beta1 * m + (1 - beta1) * g
        v[...] = beta2 * v + (1 - beta2) * g * g
        # m and v start at 0. Division by 1 - beta^step corrects that bias (Kingma and Ba, sec. 3).
        p -= lr * m / (1 - beta1**step) / (np.sqrt(v / (1 - beta2**step)) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr * weight_decay * p, separate from the gradient."""

    kernel = staticmethod(kernels.adamw)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def formula(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step):
        decay = lr * weight_decay * p
        Adam.formula(p, g, m, v, lr, beta1, beta2, eps, 0.0, step)
        p -= decay
