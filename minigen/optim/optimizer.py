"""What all optimizers share: parameter groups, buckets, the step, the state.

An optimizer writes new values into its parameters, and increments the version of their leaves, so
that a graph recorded before is not walked back any more.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np

from minigen.autodiff.graph import Leaf
from minigen.backend import Array, as_array, capturing, device_of, owner, to_device
from minigen.errors import CheckpointError, ShapeError
from minigen.tensors import Tensor

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]
State = dict[str, Any]  # of one parameter: its arrays by name, and "step" where steps are counted
Row = tuple[Array | None, ...]  # (p, g, *arrays of the state)


@dataclass
class Bucket:
    """Parameters stepped in one call of a kernel: of one group and dtype, and as many steps."""

    indices: list[int]  # into the optimizer's params
    settings: np.ndarray  # float64, in the order of SETTINGS, renewed in place at each step


class Optimizer:
    """Parameter groups with their settings; `self.params`, all parameters, and a state for each.

    params: tensors, or dicts {"params": tensors, setting: value} for groups that differ.
    A subclass has the formula of its update, and perhaps a kernel that does the same faster.
    """

    SETTINGS: tuple[str, ...]  # what formula and kernel take after the arrays
    kernel: Callable[[list[Row], np.ndarray], list[Row]] | None = None  # returns rows not done

    @staticmethod
    def formula(p: Array, g: Array, *state_and_settings: Any) -> None:
        """Write new values into p, and into the arrays of the state, given the gradient g."""
        raise NotImplementedError

    def state_arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        """The names of the arrays that formula takes after p and g; None where it gets None."""
        return ()

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
            if p.requires_grad and type(p.node) is not Leaf:
                raise ValueError(f"{type(self).__name__}: parameter {i} is computed, not a leaf")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(f"{type(self).__name__}: a parameter is given twice")
        self.group_of_each = [group for group in self.param_groups for _ in group["params"]]
        self.state: list[State] = [{} for _ in self.params]
        self.buckets: list[Bucket] = []  # of the parameters that have a gradient
        self.stepped: list[Array | None] | None = None  # their arrays, when buckets were filled
        self.memory: dict[int, int] = {}  # how many of these lie in it, by id of its owner

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

    # ---------------------------------------------------------------------------- the step

    def step(self, gradients: Iterable[Tensor | None] | None = None) -> None:
        """Change every parameter that has a gradient; frozen ones stay.

        gradients: one for each of self.params, as mg.grad gives them; by default their `.grad`.
        """
        gradients = [p.grad for p in self.params] if gradients is None else list(gradients)
        self._fill_buckets(gradients)
        arrays = [None if g is None else self._apart(g.data) for g in gradients]
        if (recording := capturing.get()) is not None:
            recording.trains(self)
        self.advance()
        for bucket in self.buckets:
            self.update(bucket, [arrays[i] for i in bucket.indices])

    def _apart(self, g: Array) -> Array:
        """g, or a copy where it lies in the memory of a parameter, which is about to change."""
        return g.copy() if id(owner(g)) in self.memory else g

    def _fill_buckets(self, gradients: list[Tensor | None]) -> None:
        """Sort the parameters that have a gradient into buckets, the old ones where they fit."""
        stepped = []
        for i, (p, g) in enumerate(zip(self.params, gradients, strict=True)):
            stepped.append(p.data if g is not None and p.requires_grad else None)
            if stepped[-1] is not None and g.data.shape != p.data.shape:
                raise ShapeError(
                    f"{type(self).__name__}: the gradient of parameter {i} has shape {g.shape}, "
                    f"which does not broadcast to that of the parameter, {p.shape}"
                )
        if self.stepped is not None and all(map(is_, stepped, self.stepped)):
            return  # those of a bucket have gone on taking the same steps
        self.stepped, self.memory, found = stepped, {}, {}
        for i, array in enumerate(stepped):
            if array is not None:
                # What may share memory is stepped in turn: threads would lose each other's steps.
                memory = id(owner(array))
                self.memory[memory] = turn = self.memory.get(memory, 0) + 1
                of_array = array.dtype, device_of(array), turn
                key = id(self.group_of_each[i]), self.state[i].get("step"), of_array
                found.setdefault(key, []).append(i)
        self.buckets = [Bucket(i, np.zeros(len(self.SETTINGS))) for i in found.values()]

    def advance(self) -> None:
        """Count a step and renew the settings in place: all of a step but the work on arrays.

        A recorded step, which repeats the work on arrays alone, needs just this before it.
        """
        for bucket in self.buckets:
            group = self.group_of_each[bucket.indices[0]]
            for i in bucket.indices:
                self.params[i].node.version += 1
                if "step" in self.SETTINGS:
                    self.state[i]["step"] = self.state[i].get("step", 0) + 1
            values = self.settings(group) | self.state[bucket.indices[0]]  # one step for all
            bucket.settings[:] = [values[name] for name in self.SETTINGS]

    def settings(self, group: dict[str, Any]) -> dict[str, Any]:
        """The settings of a group by the names of SETTINGS, but for "step"."""
        return group

    def update(self, bucket: Bucket, gs: list[Array]) -> None:
        """Write new values into the parameters of a bucket: by the kernel, or by the formula."""
        names = self.state_arrays(self.group_of_each[bucket.indices[0]])
        rows = [
            (self.params[i].data, g, *(self._state_array(i, name) for name in names))
            for i, g in zip(bucket.indices, gs)
        ]
        if self.kernel is not None:
            rows = self.kernel(rows, bucket.settings)
        if rows:
            settings = bucket.settings.tolist()
            for row in rows:
                self.formula(*row, *settings)

    def _state_array(self, i: int, name: str | None) -> Array | None:
        """The array of that name in the state of parameter i; zeros at first."""
        if name is not None and name not in self.state[i]:
            self.state[i][name] = np.zeros_like(self.params[i].data)
        return None if name is None else self.state[i][name]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for p in self.params:
            if p.requires_grad:
                p.node.grad = None

    # --------------------------------------------------------------------------- the state

    def state_dict(self) -> dict[str, Any]:
        """The state of each parameter, in order, and the settings of the groups.

        Its arrays are the optimizer's own, which later steps write to: copy them to keep them.
        """
        groups, start = [], 0
        for group in self.param_groups:
            indices = list(range(start, start + len(group["params"])))
            groups.append({**group, "params": indices})
            start += len(indices)
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
        self.state, self.stepped = loaded, None
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
