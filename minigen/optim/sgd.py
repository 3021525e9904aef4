"""Stochastic gradient descent, with momentum of Polyak (1964) or of Nesterov (1983)."""

from typing import Any

from minigen import kernels
from minigen.optim.groups import Params
from minigen.optim.optimizer import Optimizer


class SGD(Optimizer):
    """p -= lr * v, with v = momentum * v + (1 - dampening) * g, and v = g at the first step.

    params: tensors or groups. lr: the learning rate. weight_decay: times p, it is added to the
    gradient g. nesterov: p -= lr * (g + momentum * v); ValueError without momentum, or with
    dampening. maximize: ascend. PyTorch's foreach and fused are ignored.
    """

    SETTINGS = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    STATE = {"momentum_buffer": "momentum"}
    kernel = staticmethod(kernels.sgd)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **implementation: bool | None,
    ):
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening}
        settings |= {"weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        super().__init__(params, implementation, **settings)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError("nesterov needs a momentum, and no dampening")

    def first_state(self, key, p, g, group):
        v = super().first_state(key, p, g, group)
        if group["dampening"]:  # formula will then make v = g, not (1 - dampening) * g
            v += group["dampening"] / group["momentum"] * (g + group["weight_decay"] * p)
        return v

    @staticmethod
    def formula(p, g, v, lr, momentum, dampening, weight_decay, nesterov):
        g = g + weight_decay * p
        if v is not None:
            v[...] = momentum * v + (1 - dampening) * g
            g = g + momentum * v if nesterov else v
        p -= lr * g
