"""Optimizers, by growing complexity, with PyTorch's formulas, names and defaults.

An optimizer changes parameters in place, and steps the version of their leaves so that a graph
recorded before is not walked back any more. Left out: dampening, centered, amsgrad, maximize.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigen import kernels
from minigen.autodiff import Leaf
from minigen.backend import Array, as_array, to_device
from minigen.errors import CheckpointError
from minigen.tensors import Tensor

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class Optimizer:
    """Parameter groups with their settings, and state for each parameter.

    params: tensors, or dicts {"params": tensors, setting: value} for groups that differ.
    """

    def __init__(self, params: Params, **settings: Any):
        params = params if isinstance(params, Tensor) else list(params)
        groups = params
        if isinstance(params, Tensor) or not all(isinstance(group, Mapping) for group in groups):
            groups = [{"params": params}]
        if any(isinstance(group.get("params", params), Tensor) for group in groups):
            raise TypeError(f"{type(self).__name__}: params is a list of tensors, not a tensor")
        if not all("params" in group for group in groups):
            raise ValueError(f"{type(self).__name__}: each group needs its list of 'params'")
        self.param_groups = [
            {**settings, **group, "params": list(group["params"])} for group in groups
        ]
        for group in self.param_groups:
            unknown = group.keys() - settings.keys() - {"params"}
            if unknown:
                raise ValueError(f"{type(self).__name__}: unknown settings {sorted(unknown)}")
            self.check(group)
        self.params = [p for group in self.param_groups for p in group["params"]]
        if not self.params:
            raise ValueError(f"{type(self).__name__}: the list of parameters is empty")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{type(self).__name__}: parameter {i} is a {type(p).__name__}")
            if p.node is not None and type(p.node) is not Leaf:
                raise ValueError(f"{type(self).__name__}: parameter {i} is computed, not a leaf")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(f"{type(self).__name__}: a parameter is given twice")
        self.group_of_each = [group for group in self.param_groups for _ in group["params"]]
        self.state: list[dict[str, Any]] = [{} for _ in self.params]

    def check(self, group: dict[str, Any]) -> None:
        """ValueError for a setting out of range."""
        for name in ("lr", "weight_decay", "eps"):
            if name in group and not 0 <= group[name] < math.inf:
                raise ValueError(f"{name} must be finite and not negative, got {group[name]}")
        for name in ("momentum", "alpha"):
            if name in group and not 0 <= group[name] <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {group[name]}")
        betas = group.get("betas", (0, 0))
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")

    def step(self, gradients: Iterable[Tensor | None] | None = None) -> None:
        """Change every parameter that has a gradient; frozen ones stay.

        gradients: one for each of self.params, as mg.grad gives them; by default their `.grad`.
        """
        if gradients is None:
            gradients = [p.grad for p in self.params]
        work = zip(self.params, gradients, self.state, self.group_of_each, strict=True)
        for p, g, state, group in work:
            if p.node is not None and g is not None:
                self.update(p.data, g.data, state, group)
                p.node.version += 1

    def update(self, p: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Write the new value of one parameter into p, given its gradient g."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for p in self.params:
            if p.node is not None:
                p.node.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The state of each parameter, in order, and the settings of the groups."""
        groups, start = [], 0
        for group in self.param_groups:
            numbers = list(range(start, start + len(group["params"])))
            groups.append({**group, "params": numbers})
            start += len(numbers)
        return {
            "state": [dict(state) for state in self.state],
            "param_groups": groups,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what state_dict gave; CheckpointError, with nothing changed, if it differs."""
        theirs = [len(group["params"]) for group in state["param_groups"]]
        mine = [len(group["params"]) for group in self.param_groups]
        if theirs != mine:
            raise CheckpointError(f"the state has groups of {theirs} parameters, expected {mine}")
        if len(state["state"]) != len(self.params):
            raise CheckpointError(
                f"the state is of {len(state['state'])} parameters, expected {len(self.params)}"
            )
        loaded = []
        for i, (p, entries) in enumerate(zip(self.params, state["state"])):
            loaded.append({key: _state_entry(value, p, key, i) for key, value in entries.items()})
        self.state = loaded
        for group, other in zip(self.param_groups, state["param_groups"]):
            group.update({key: value for key, value in other.items() if key != "params"})


def _state_entry(value: Any, p: Tensor, key: str, i: int) -> Any:
    """A copy of an entry of an optimizer's state, beside the parameter that it is for."""
    if isinstance(value, int | float):
        return value
    array = as_array(value.data if isinstance(value, Tensor) else value)
    if array.shape != p.shape:
        raise CheckpointError(f"{key} of parameter {i} has shape {array.shape}, expected {p.shape}")
    return to_device(array, p.device).astype(p.dtype, copy=True)


class SGD(Optimizer):
    """p -= lr * v, with v = momentum * v + g; nesterov looks ahead: g + momentum * v."""

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

    def update(self, p, g, state, group):
        momentum = group["momentum"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if momentum:
            if "momentum_buffer" in state:
                v = state["momentum_buffer"]
                v *= momentum
                v += g
            else:
                v = state["momentum_buffer"] = g.copy()
            g = g + momentum * v if group["nesterov"] else v
        p -= group["lr"] * g


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(s) + eps), s a moving mean of g^2 (Hinton, lecture 6e, 2012)."""

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

    def update(self, p, g, state, group):
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        s = state.setdefault("square_avg", np.zeros_like(p))
        s *= group["alpha"]
        s += (1 - group["alpha"]) * g * g
        step = g / (np.sqrt(s) + group["eps"])
        if group["momentum"]:
            v = state.setdefault("momentum_buffer", np.zeros_like(p))
            v *= group["momentum"]
            v += step
            step = v
        p -= group["lr"] * step


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), m and v unbiased moving means of g and g^2.

    Kingma and Ba 2015. weight_decay is added to the gradient.
    """

    decoupled = False

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

    def update(self, p, g, state, group):
        if not state:
            state.update(step=0, exp_avg=np.zeros_like(p), exp_avg_sq=np.zeros_like(p))
        state["step"] += 1
        (beta1, beta2), decay, lr = group["betas"], group["weight_decay"], group["lr"]
        step_size = lr / (1 - beta1 ** state["step"])
        root = math.sqrt(1 - beta2 ** state["step"])
        shrink, decay = (1 - lr * decay, 0.0) if self.decoupled else (1.0, decay)
        m, v = state["exp_avg"], state["exp_avg_sq"]
        kernels.adam(p, m, v, g, step_size, beta1, beta2, root, group["eps"], shrink, decay)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself (Loshchilov and Hutter 2019)."""

    decoupled = True

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


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients so that their joint norm is at most max_norm; the norm before."""
    if not max_norm >= 0:
        raise ValueError(f"max_norm must not be negative, got {max_norm}")
    with_grad = [p for p in params if p.grad is not None]
    squares = (float(np.square(p.grad.data, dtype=np.float64).sum()) for p in with_grad)
    norm = math.sqrt(sum(squares))
    scale = max_norm / (norm + 1e-6)
    if scale < 1:
        for p in with_grad:
            p.node.grad = Tensor(p.grad.data * scale)
    return norm
