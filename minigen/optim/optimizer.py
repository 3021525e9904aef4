"""What all optimizers share: parameter groups, buckets, the step, the state.

An optimizer writes new values into its parameters, and increments the version of their leaves, so
that a graph recorded before is not walked back any more.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np

from minigen.autodiff.graph import Leaf
from minigen.backend.arrays import Array, owner
from minigen.backend.devices import capturing, device_of, to_device
from minigen.backend.dtypes import as_array
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
        self.memory: set[int] = set()  # where these lie, by id of the owner

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
        ps, gs = self._arrays(gradients)
        if self.stepped is None or not all(map(is_, ps, self.stepped)):
            self._fill_buckets(ps)  # else those of a bucket have gone on taking the same steps
        if not self.memory.isdisjoint([id(owner(g)) for g in gs if g is not None]):
            gs = [g if g is None else g.copy() for g in gs]  # some lie where steps are written
        if (recording := capturing.get()) is not None:
            recording.trains(self)
        self.advance()
        for bucket in self.buckets:
            self.update(bucket, [gs[i] for i in bucket.indices])

    def _arrays(self, gradients: list[Tensor | None]) -> tuple[list, list]:
        """The arrays of parameters and gradients; None for a parameter that is not stepped."""
        ps, gs = [], []
        for i, (p, g) in enumerate(zip(self.params, gradients, strict=True)):
            if g is None or p.node is None or not p.node.requires_grad:
                ps.append(None)
                gs.append(None)
                continue
            if g.data.shape != p.data.shape:
                raise ShapeError(
                    f"{type(self).__name__}: the gradient of parameter {i} has shape {g.shape}, "
                    f"which does not broadcast to that of the parameter, {p.shape}"
                )
            ps.append(p.data)
            gs.append(g.data)
        return ps, gs

    def _fill_buckets(self, ps: list[Array | None]) -> None:
        """Sort the parameters that are stepped into buckets."""
        self.stepped, turns, found = ps, Counter(), {}
        for i, p in enumerate(ps):
            if p is not None:
                # What may share memory is stepped in turn: threads would lose each other's steps.
                turns[id(owner(p))] += 1
                kind = p.dtype, device_of(p), turns[id(owner(p))]
                key = id(self.group_of_each[i]), self.state[i].get("step"), kind
                found.setdefault(key, []).append(i)
        self.memory = set(turns)
        self.buckets = [Bucket(i, np.zeros(len(self.SETTINGS))) for i in found.values()]

    def advance(self) -> None:
        """Count a step and renew the settings in place: all of a step but the work on arrays.

        A recorded step, which repeats the work on arrays alone, needs just this before it.
        """
        for bucket in self.buckets:
            values = self.settings(self.group_of_each[bucket.indices[0]])
            for i in bucket.indices:
                self.params[i].node.version += 1
            if "step" in self.SETTINGS:
                for i in bucket.indices:
                    self.state[i]["step"] = self.state[i].get("step", 0) + 1
                values = values | {"step": self.state[i]["step"]}  # the same for all of a bucket
            bucket.settings[:] = [values[name] for name in self.SETTINGS]

    def settings(self, group: dict[str, Any]) -> dict[str, Any]:
        """The settings of a group by the names of SETTINGS, but for "step"."""
        return group

    def update(self, bucket: Bucket, gs: list[Array]) -> None:
        """Write new values into the parameters of a bucket: by the kernel, or by the formula."""
        names, rows = self.state_arrays(self.group_of_each[bucket.indices[0]]), []
        for i, g in zip(bucket.indices, gs):
            p, state, row = self.params[i].data, self.state[i], []
            for name in names:
                if name is not None and name not in state:
                    state[name] = np.zeros_like(p)
                row.append(None if name is None else state[name])
            rows.append((p, g, *row))
        if self.kernel is not None:
            rows = self.kernel(rows, bucket.settings)
        for row in rows:
            self.formula(*row, *bucket.settings.tolist())

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
