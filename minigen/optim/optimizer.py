"""The base class of all optimizers: parameter groups, buckets, the step, the state.

An optimizer writes new values into its parameters and increments the versions of their leaves. A
backward pass through a graph that was recorded before the step raises GradError.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, owner
from minigen.backend.devices import capturing, device_of
from minigen.errors import ShapeError
from minigen.gradients import enable_grad
from minigen.optim.groups import Params, check_settings, checked_tensors, list_of_groups, listed
from minigen.optim.hooks import StepHooks
from minigen.optim.observing import step_observer
from minigen.optim.states import State, checked_state, moved, snapshot
from minigen.tensors import Tensor

Row = tuple[Array | None, ...]  # of one parameter: (p, g, *arrays of its state)

# PyTorch's choices among its implementations, which give the same numbers: accepted and ignored.
IMPLEMENTATIONS = "foreach", "fused", "capturable", "differentiable"


@dataclass
class Bucket:
    """Parameters that one kernel call updates: of one group, dtype, device and number of steps."""

    indices: list[int]  # into the optimizer's params
    settings: np.ndarray  # float64, in the order of SETTINGS, overwritten at each step


class Optimizer(StepHooks):
    """Parameter groups with their settings, and a state for each parameter of `self.params`.

    params: tensors, pairs (name, tensor), or dicts {"params": tensors, setting: value} for groups
    with other settings; `param_groups[i]["lr"] = 0.1` changes one later. implementation: keywords
    of PyTorch's that are ignored. A subclass defines the formula of its update, and may name a
    kernel that computes it faster. ValueError or TypeError for what cannot be used.
    """

    SETTINGS: tuple[str, ...]  # names of the settings that formula and kernel take after the arrays
    # The arrays that formula takes after p and g, by name; for some the setting without which they
    # are not used, and formula gets None.
    STATE: Mapping[str, str | None] = {}
    kernel: Callable[[list[Row], np.ndarray], list[Row]] | None = None  # returns rows it left out

    @staticmethod
    def formula(p: Array, g: Array, *state_and_settings: Any) -> None:
        """Update p and the arrays of its state in place, from the gradient g."""
        raise NotImplementedError

    def __init__(
        self, params: Params, implementation: Mapping[str, Any] | None = None, **settings: Any
    ):
        super().__init__()
        name = type(self).__name__
        for key, value in (implementation or {}).items():
            if key not in IMPLEMENTATIONS:
                raise TypeError(f"{name}: there is no setting {key!r}; see help(optim.{name})")
            if key == "differentiable" and value:
                raise ValueError(
                    f"{name}: a step cannot be differentiated; write it with operators, on the "
                    "gradients that mg.grad(..., create_graph=True) returns"
                )
        self.defaults = settings
        self.param_groups: list[dict[str, Any]] = []
        self.params: list[Tensor] = []
        self.group_of: list[dict[str, Any]] = []  # of each parameter
        self.state: list[State] = []
        self.buckets: list[Bucket] = []  # of the parameters that have a gradient
        # The arrays of the parameters for which buckets were filled (None: not in a bucket), and
        # the ids of the arrays that own their memory.
        self.bucketed: list[Array | None] | None = None
        self.owner_ids: set[int] = set()
        for group in list_of_groups(params, name):
            self.add_param_group(group)
        if not self.params:
            raise ValueError(f"{name}: the list of parameters is empty")
        if (observer := step_observer.get()) is not None:
            observer.optimizer_made(self)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize more parameters: {"params": tensors, setting: value}, else with the defaults.

        If they cannot be used, an error is raised, and the optimizer is unchanged.
        """
        name = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise ValueError(f"{name}: each group is a dict with its list of 'params'")
        if unknown := group.keys() - self.defaults.keys() - {"params"}:
            raise ValueError(f"{name}: unknown settings {sorted(unknown)}")
        params = checked_tensors(listed(group["params"], name), self.params, name)
        group = {**self.defaults, **group, "params": params}
        self.check(group)
        self.param_groups.append(group)
        self.params += params
        self.group_of += [group] * len(params)
        self.state += [{} for _ in params]
        self.bucketed = None

    def check(self, group: dict[str, Any]) -> None:
        """Make Python numbers of the settings; ValueError or TypeError for one out of range."""
        check_settings(group)

    # ---------------------------------------------------------------------------- the step

    def step(self, gradients: Iterable[Tensor | None] | Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient and is not frozen.

        gradients: one for each of self.params, as mg.grad returns them; by default their `.grad`.
        Or a closure, called first, that computes `.grad`; step returns what it returns. ShapeError
        for a gradient that does not fit its parameter; nothing is then changed.
        """
        result, arguments = None, gradients
        if self.before_step:
            self.run_hooks(self.before_step, arguments)
        if callable(gradients):
            with enable_grad():
                result, gradients = gradients(), None
        if gradients is None:
            gradients = [p.grad for p in self.params]
        ps, gs = self._arrays([gradients] if isinstance(gradients, Tensor) else list(gradients))
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
        if self.after_step:
            self.run_hooks(self.after_step, arguments)
        if (observer := step_observer.get()) is not None:
            observer.optimizer_stepped(self)
        return result

    def _arrays(self, gradients: list[Tensor | None]) -> tuple[list, list]:
        """(parameters, gradients) as arrays; None for a parameter that is not updated."""
        ps, gs, name = [], [], type(self).__name__
        if len(gradients) != len(self.params):
            raise ValueError(
                f"{name}: step got {len(gradients)} gradients for {len(self.params)} parameters; "
                "give one for each of optimizer.params, or None"
            )
        for i, (p, g) in enumerate(zip(self.params, gradients)):
            if g is None or p.node is None or not p.node.requires_grad:
                ps.append(None)
                gs.append(None)
                continue
            if not isinstance(g, Tensor):
                raise TypeError(
                    f"{name}: the gradient of parameter {i} is a {type(g).__name__}; step takes "
                    "tensors, as mg.grad returns them, so wrap an array in mg.Tensor"
                )
            if g.data.shape != p.data.shape:
                raise ShapeError(
                    f"{name}: the gradient of parameter {i} has shape {g.shape}, expected that of "
                    f"the parameter, {p.shape}"
                )
            ps.append(p.data)
            gs.append(g.data)
        return ps, gs

    def _fill_buckets(self, ps: list[Array | None]) -> None:
        """Sort the parameters that are updated into buckets."""
        uses, indices_by_key = Counter(), {}
        for i, p in enumerate(ps):
            if p is not None:
                if not getattr(p.flags, "writeable", True):  # CuPy's flags have no such entry
                    raise ValueError(
                        f"{type(self).__name__}: parameter {i} is read-only, and a step writes to "
                        "it; make it from a copy, with mg.tensor(array, requires_grad=True)"
                    )
                self.state[i] = moved(self.state[i], p)
                # A kernel updates the parameters of a bucket on several threads. Those that may
                # share memory go to different buckets, since threads would overwrite updates.
                uses[id(owner(p))] += 1
                key = id(self.group_of[i]), self.state[i].get("step"), p.dtype, device_of(p)
                indices_by_key.setdefault((*key, uses[id(owner(p))]), []).append(i)
        self.bucketed, self.owner_ids = ps, set(uses)
        self.buckets = [Bucket(i, np.zeros(len(self.SETTINGS))) for i in indices_by_key.values()]

    def advance(self) -> None:
        """Increment the step and the versions, and write the settings into the buckets.

        This is all of a step except the update of the arrays. A CUDA graph repeats only that
        update, so `advance` is called before each replay.
        """
        found = [self._settings(self.group_of[bucket.indices[0]]) for bucket in self.buckets]
        for bucket, values in zip(self.buckets, found):
            for i in bucket.indices:
                self.params[i].node.version += 1
            if "step" in self.SETTINGS:
                for i in bucket.indices:
                    self.state[i]["step"] = self.state[i].get("step", 0) + 1
                values = values | {"step": self.state[i]["step"]}  # equal for all of a bucket
            bucket.settings[:] = [values[name] for name in self.SETTINGS]

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        """`settings` of a group whose learning rate, which schedules set, is still in range."""
        lr = group.get("lr", 0.0)
        if type(lr) is not float or not 0 <= lr < np.inf:
            self.check(group)
        return self.settings(group)

    def settings(self, group: dict[str, Any]) -> dict[str, Any]:
        """The settings of a group by the names in SETTINGS, without "step"."""
        return group

    def update(self, bucket: Bucket, gs: list[Array]) -> None:
        """Update the parameters of a bucket in place, by the kernel or by the formula."""
        group, rows = self.group_of[bucket.indices[0]], []
        if group.get("maximize"):
            gs = [-g for g in gs]
        keys = [
            key if setting is None or group[setting] else None
            for key, setting in self.STATE.items()
        ]
        for i, g in zip(bucket.indices, gs):
            p, state, row = self.params[i].data, self.state[i], []
            for key in keys:
                if key is not None and key not in state:
                    state[key] = self.first_state(key, p, g, group)
                row.append(None if key is None else state[key])
            rows.append((p, g, *row))
        if self.kernel is not None:
            rows = self.kernel(rows, bucket.settings)
        for row in rows:
            self.formula(*row, *bucket.settings.tolist())

    def first_state(self, key: str, p: Array, g: Array, group: dict[str, Any]) -> Array:
        """The array `key` of the state of p before the first step, whose gradient is g."""
        return np.zeros_like(p)

    def __repr__(self) -> str:
        groups = [
            ", ".join(f"{key}={group[key]}" for key in self.defaults) for group in self.param_groups
        ]
        return f"{type(self).__name__}({'; '.join(groups)})"

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradient of every parameter to None; with set_to_none=False to zeros.

        A step on zeros still decays weights and continues along the momentum; a step without
        gradient leaves a parameter as it is.
        """
        for p in self.params:
            if p.requires_grad and p.node.grad is not None:
                p.node.grad = None if set_to_none else Tensor(np.zeros_like(p.data))

    # --------------------------------------------------------------------------- the state

    def state_dict(self) -> dict[str, Any]:
        """A snapshot of the state of each parameter, in order, and of the settings of the groups.

        No later step changes it; loaded again, it repeats the steps that followed bit for bit.
        """
        groups, start = [], 0
        for group in self.param_groups:
            indices = list(range(start, start + len(group["params"])))
            groups.append({**group, "params": indices})
            start += len(indices)
        return {"state": snapshot(self.state), "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy a state that state_dict returned; its settings replace those of the groups.

        CheckpointError, with all differences, if it does not fit this optimizer, which is then
        unchanged.
        """
        states, settings = checked_state(self, state)
        self.state, self.bucketed = states, None
        for group, values in zip(self.param_groups, settings):
            group.update(values)
