"""Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019)."""

import numpy as np

from minigen import kernels
from minigen.optim.groups import Params
from minigen.optim.optimizer import Optimizer


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), with m and v the unbiased moving means of g and g^2.

    params: tensors or groups. lr: the learning rate. betas: the factors of m and v at each step.
    weight_decay: times p, it is added to the gradient g. amsgrad: the largest v so far in place of
    v (Reddi et al. 2018). maximize: ascend. PyTorch's foreach, fused and capturable are ignored.
    """

    SETTINGS = ("lr", "beta1", "beta2", "eps", "weight_decay", "step")
    STATE = {"exp_avg": None, "exp_avg_sq": None, "max_exp_avg_sq": "amsgrad"}
    kernel = staticmethod(kernels.adam)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **implementation: bool | None,
    ):
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, implementation, **settings, amsgrad=amsgrad, maximize=maximize)

    def settings(self, group):
        beta1, beta2 = group["betas"]
        return {**group, "beta1": beta1, "beta2": beta2}

    @staticmethod
    def formula(p, g, m, v, largest, lr, beta1, beta2, eps, weight_decay, step):
        g = g + weight_decay * p
        m[...] = beta1 * m + (1 - beta1) * g
        v[...] = beta2 * v + (1 - beta2) * g * g
        if largest is not None:
            largest[...] = v = np.maximum(largest, v)
        # m and v start at 0. Division by 1 - beta^step corrects that bias (Kingma and Ba, sec. 3).
        p -= lr * m / (1 - beta1**step) / (np.sqrt(v / (1 - beta2**step)) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr * weight_decay * p, separate from the gradient.

    The other arguments are those of Adam.
    """

    kernel = staticmethod(kernels.adamw)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **implementation: bool | None,
    ):
        settings = {"maximize": maximize, **implementation}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **settings)

    @staticmethod
    def formula(p, g, m, v, largest, lr, beta1, beta2, eps, weight_decay, step):
        decay = lr * weight_decay * p
        Adam.formula(p, g, m, v, largest, lr, beta1, beta2, eps, 0.0, step)
        p -= decay
