"""Optimizers, by growing complexity, with PyTorch's formulas, names and defaults.

An optimizer changes parameters in place, and steps the version of their leaves so that a graph
recorded before is not walked back any more. Left out: dampening, centered, amsgrad, maximize.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import kernels
from minigen.autodiff import Leaf
from minigen.backend import Array, as_array, capturing, to_device
from minigen.errors import CheckpointError
from minigen.tensors import Tensor

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]
Arrays = list[Array]
State = dict[str, Any]  # of one parameter


@dataclass
class Bucket:
    """Parameters that are stepped in one go: of one group, dtype and device, and as many steps."""

    numbers: list[int]  # their places in the optimizer's params
    settings: np.ndarray  # what the kernel computes with, in the order of SETTINGS


class Optimizer:
    """Parameter groups with their settings; `self.params`, all parameters, and a state for each.

    params: tensors, or dicts {"params": tensors, setting: value} for groups that differ.
    """

    SETTINGS: tuple[str, ...]

    def __init__(self, params: Params, **settings: Any):
        params = params if isinstance(params, Tensor) else list(params)
        given = not isinstance(params, Tensor) and all(isinstance(x, Mapping) for x in params)
        groups = params if given else [{"params": params}]
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
        self.state: list[State] = [{} for _ in self.params]
        self.buckets, self.kinds = [], None  # of the parameters that have a gradient

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
        gradients = [p.grad for p in self.params] if gradients is None else list(gradients)
        self._fill_buckets(gradients)
        if (recording := capturing.get()) is not None:
            recording.trains(self)
        self.advance()
        for bucket in self.buckets:
            ps = [self.params[i].data for i in bucket.numbers]
            gs = [gradients[i].data for i in bucket.numbers]
            self.update(ps, gs, [self.state[i] for i in bucket.numbers], bucket.settings)

    def _fill_buckets(self, gradients: list[Tensor | None]) -> None:
        """Sort the parameters that have a gradient into buckets, the old ones where they fit."""
        pairs = zip(self.params, gradients, strict=True)
        kinds = [g is not None and p.node is not None and (p.dtype, p.device) for p, g in pairs]
        if kinds != self.kinds:  # else those of a bucket have gone on taking the same steps
            self.kinds, found = kinds, {}
            for i, (kind, group, state) in enumerate(zip(kinds, self.group_of_each, self.state)):
                if kind:
                    found.setdefault((id(group), state.get("step"), kind), []).append(i)
            self.buckets = [Bucket(n, np.zeros(len(self.SETTINGS))) for n in found.values()]

    def advance(self) -> None:
        """Count a step and renew the settings in place: all of a step but the work on arrays.

        A recorded step, which repeats the work on arrays alone, needs just this before it.
        """
        for bucket in self.buckets:
            states = [self.state[i] for i in bucket.numbers]
            bucket.settings[:] = self.count(states, self.group_of_each[bucket.numbers[0]])
            for i in bucket.numbers:
                self.params[i].node.version += 1

    def count(self, states: list[State], group: dict[str, Any]) -> Sequence[float]:
        """The settings of a bucket for the step that comes now, counted in states if need be."""
        return [group[name] for name in self.SETTINGS]

    def update(self, ps: Arrays, gs: Arrays, states: list[State], settings: np.ndarray) -> None:
        """Write new values into the parameters of a bucket, given their gradients."""
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
        return {"state": [dict(state) for state in self.state], "param_groups": groups}

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
        self.state, self.kinds = loaded, None
        for group, other in zip(self.param_groups, state["param_groups"]):
            group.update({key: value for key, value in other.items() if key != "params"})


def _arrays(name: str, ps: Arrays, states: list[State]) -> Arrays:
    """The arrays of that name in the states of parameters; zeros at first."""
    for p, state in zip(ps, states):
        if name not in state:
            state[name] = np.zeros_like(p)
    return [state[name] for state in states]


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

    SETTINGS = ("lr", "momentum", "nesterov", "weight_decay")

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

    def update(self, ps, gs, states, settings):
        vs = _arrays("momentum_buffer", ps, states) if settings[1] else None
        kernels.sgd(ps, vs, gs, settings)


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(s) + eps), s a moving mean of g^2 (Hinton, lecture 6e, 2012)."""

    SETTINGS = ("lr", "alpha", "eps", "weight_decay", "momentum")

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

    def update(self, ps, gs, states, settings):
        lr, alpha, eps, decay, momentum = settings.tolist()
        vs = _arrays("momentum_buffer", ps, states) if momentum else ps
        for p, g, s, v in zip(ps, gs, _arrays("square_avg", ps, states), vs):
            if decay:
                g = g + decay * p
            s *= alpha
            s += (1 - alpha) * g * g
            step = g / (np.sqrt(s) + eps)
            if momentum:
                v *= momentum
                v += step
                step = v
            p -= lr * step


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), m and v unbiased moving means of g and g^2.

    Kingma and Ba 2015. weight_decay is added to the gradient.
    """

    SETTINGS = ("step_size", "beta1", "beta2", "root", "eps", "shrink", "decay")
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

    def count(self, states, group):
        for state in states:
            state["step"] = state.get("step", 0) + 1
        step = states[0]["step"]  # those of a bucket have taken as many
        (beta1, beta2), lr, eps, decay = (group[x] for x in ("betas", "lr", "eps", "weight_decay"))
        step_size, root = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
        shrink, decay = (1 - lr * decay, 0.0) if self.decoupled else (1.0, decay)
        return step_size, beta1, beta2, root, eps, shrink, decay

    def update(self, ps, gs, states, settings):
        ms, vs = (_arrays(name, ps, states) for name in ("exp_avg", "exp_avg_sq"))
        kernels.adam(ps, ms, vs, gs, settings)


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
    squares = [np.square(p.grad.data, dtype=np.float64).sum() for p in with_grad]
    norm = math.sqrt(sum(map(float, squares)))  # a GPU is waited for when all are under way
    if (scale := max_norm / (norm + 1e-6)) < 1:
        for p in with_grad:
            p.node.grad = Tensor(p.grad.data * scale)
    return norm
