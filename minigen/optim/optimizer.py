"""The base class of all optimizers: parameter groups, buckets, the step, the state.

An optimizer writes new values into its parameters and increments the versions of their leaves. A
backward pass through a graph that was recorded before the step raises GradError.
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
State = dict[str, Any]  # of one parameter: arrays by name, and "step" if SETTINGS has it
Row = tuple[Array | None, ...]  # of one parameter: (p, g, *arrays of its state)


@dataclass
class Bucket:
    """Parameters that one kernel call updates: of one group, dtype, device and number of steps."""

    indices: list[int]  # into the optimizer's params
    settings: np.ndarray  # float64, in the order of SETTINGS, overwritten at each step


class Optimizer:
    """Parameter groups with their settings, and a state for each parameter of `self.params`.

    params: tensors, or dicts {"params": tensors, setting: value} for groups with other settings.
    A subclass defines the formula of its update, and may name a kernel that computes it faster.
    ValueError or TypeError for params or settings that cannot be used.
    """

    SETTINGS: tuple[str, ...]  # names of the settings that formula and kernel take after the arrays
    kernel: Callable[[list[Row], np.ndarray], list[Row]] | None = None  # returns rows it left out

    @staticmethod
    def formula(p: Array, g: Array, *state_and_settings: Any) -> None:
        """Update p and the arrays of its state in place, from the gradient g."""
        raise NotImplementedError

    def state_arrays(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        """The names of the arrays that formula takes after p and g; None for one not used."""
        return ()

    def __init__(self, params: Params, **settings: Any):
        params = params if isinstance(params, Tensor) else list(params)
        grouped = not isinstance(params, Tensor) and all(isinstance(x, Mapping) for x in params)
        groups = params if grouped else [{"params": params}]
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
        self.group_of = [group for group in self.param_groups for _ in group["params"]]
        self.state: list[State] = [{} for _ in self.params]
        self.buckets: list[Bucket] = []  # of the parameters that have a gradient
        # The arrays of the parameters for which buckets were filled (None: not in a bucket), and
        # the ids of the arrays that own their memory.
        self.bucketed: list[Array | None] | None = None
        self.owner_ids: set[int] = set()

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
        """Update every parameter that has a gradient and is not frozen.

        gradients: one for each of self.params, as mg.grad returns them; by default their `.grad`.
        ShapeError for a gradient that does not fit its parameter.
        """
        gradients = [p.grad for p in self.params] if gradients is None else list(gradients)
        ps, gs = self._arrays(gradients)
        # While the same parameters are updated, those of a bucket have the same number of steps.
        if self.bucketed is None or not all(map(is_, ps, self.bucketed)):
            self._fill_buckets(ps)
        # A gradient in a parameter's memory would change while the parameters are updated.
        if not self.owner_ids.isdisjoint([id(owner(g)) for g in gs if g is not None]):
            gs = [g if g is None else g.copy() for g in gs]
        if (recording := capturing.get()) is not None:
            recording.register_optimizer(self)
        self.advance()
        for bucket in self.buckets:
            self.update(bucket, [gs[i] for i in bucket.indices])

    def _arrays(self, gradients: list[Tensor | None]) -> tuple[list, list]:
        """(parameters, gradients) as arrays; None for a parameter that is not updated."""
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
        """Sort the parameters that are updated into buckets."""
        self.bucketed, uses, indices_by_key = ps, Counter(), {}
        for i, p in enumerate(ps):
            if p is not None:
                # A kernel updates the parameters of a bucket on several threads. Those that may
                # share memory go to different buckets, since threads would overwrite updates.
                uses[id(owner(p))] += 1
                key = id(self.group_of[i]), self.state[i].get("step"), p.dtype, device_of(p)
                indices_by_key.setdefault((*key, uses[id(owner(p))]), []).append(i)
        self.owner_ids = set(uses)
        self.buckets = [Bucket(i, np.zeros(len(self.SETTINGS))) for i in indices_by_key.values()]

    def advance(self) -> None:
        """Increment the step and the versions, and write the settings into the buckets.

        This is all of a step except the update of the arrays. A CUDA graph repeats only that
        update, so `advance` is called before each replay.
        """
        for bucket in self.buckets:
            values = self.settings(self.group_of[bucket.indices[0]])
            for i in bucket.indices:
                self.params[i].node.version += 1
            if "step" in self.SETTINGS:
                for i in bucket.indices:
                    self.state[i]["step"] = self.state[i].get("step", 0) + 1
                values = values | {"step": self.state[i]["step"]}  # equal for all of a bucket
            bucket.settings[:] = [values[name] for name in self.SETTINGS]

    def settings(self, group: dict[str, Any]) -> dict[str, Any]:
        """The settings of a group by the names in SETTINGS, without "step"."""
        return group

    def update(self, bucket: Bucket, gs: list[Array]) -> None:
        """Update the parameters of a bucket in place, by the kernel or by the formula."""
        names, rows = self.state_arrays(self.group_of[bucket.indices[0]]), []
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

        Later steps write into these arrays; copy them to keep their values.
        """
        groups, start = [], 0
        for group in self.param_groups:
            indices = list(range(start, start + len(group["params"])))
            groups.append({**group, "params": indices})
            start += len(indices)
        return {"state": [dict(state) for state in self.state], "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy a state that state_dict returned.

        CheckpointError if it does not fit this optimizer, which is then unchanged.
        """
        sizes = [len(group["params"]) for group in state["param_groups"]]
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise CheckpointError(
                f"the state has groups of {sizes} parameters, expected {expected}"
            )
        if len(state["state"]) != len(self.params):
            raise CheckpointError(
                f"the state is of {len(state['state'])} parameters, expected {len(self.params)}"
            )
        loaded = []
        for i, (p, entries) in enumerate(zip(self.params, state["state"])):
            loaded.append({key: _state_entry(value, p, key, i) for key, value in entries.items()})
        self.state, self.bucketed = loaded, None
        for group, other in zip(self.param_groups, state["param_groups"]):
            group.update({key: value for key, value in other.items() if key != "params"})


def _state_entry(value: Any, p: Tensor, key: str, i: int) -> Any:
    """A copy of entry `key` of the state of parameter i, p, on the device and in the dtype of p."""
    if isinstance(value, int | float):
        return value
    array = as_array(value.data if isinstance(value, Tensor) else value)
    if array.shape != p.shape:
        raise CheckpointError(f"{key} of parameter {i} has shape {array.shape}, expected {p.shape}")
    return to_device(array, p.device).astype(p.dtype, copy=True)
