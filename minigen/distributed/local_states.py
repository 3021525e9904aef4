"""What `LocalSteps` is made with and what it saves: checks, and the states of all ranks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigen.autodiff.graph import count_write
from minigen.backend.arrays import Array, is_cupy
from minigen.backend.devices import device_of, to_device
from minigen.distributed.gathering import gather_states
from minigen.errors import CheckpointError
from minigen.tensors import Tensor

SETTINGS = "every", "outer_lr", "outer_momentum"
ARRAYS = "outer", "momentum"


def checked_settings(every: Any, outer_lr: Any, outer_momentum: Any) -> tuple[int, float, float]:
    """The settings as Python numbers; ValueError for one that is none, or out of range."""
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise ValueError(f"LocalSteps: every must be an integer of at least 1, got {every!r}")
    if not _is_number(outer_lr) or not 0 < outer_lr < math.inf:
        raise ValueError(
            f"LocalSteps: outer_lr must be a number above 0, got {outer_lr!r}; 1 with "
            "outer_momentum=0 takes the mean of the weights"
        )
    if not _is_number(outer_momentum) or not 0 <= outer_momentum < 1:
        raise ValueError(
            f"LocalSteps: outer_momentum must be a number in [0, 1), got {outer_momentum!r}"
        )
    return int(every), float(outer_lr), float(outer_momentum)


def _is_number(value: Any) -> bool:
    numbers = int | float | np.integer | np.floating
    return isinstance(value, numbers) and not isinstance(value, bool)


def like(arrays: Sequence[Array], models: Sequence[Array], copy: bool = False) -> list[Array]:
    """arrays on the devices and in the dtypes of models; `Module.to` may have changed them."""
    return [to_device(a, device_of(m)).astype(m.dtype, copy=copy) for a, m in zip(arrays, models)]


def write(tensor: Tensor, values: Array) -> None:
    """Copy values into the memory of a tensor, and count that."""
    tensor.data[...] = values
    count_write(tensor.node)


def state_of(optimizer: Any, inner: dict[str, Any]) -> dict[str, Any]:
    """The state of a LocalSteps, gathered from all ranks; inner is that of the inner optimizer.

    `ranks` has for each rank its inner state, its weights if it has made steps since the last outer
    step, and the sum of its parts of the rows in these. Only rank 0 gets all of them; elsewhere
    those of other ranks are None.
    """
    local = [y.data for y in optimizer.tensors] if optimizer.steps else []
    own = {"weight": optimizer.weight, "local": local, "optimizer": inner}
    settings = {name: getattr(optimizer, name) for name in (*SETTINGS, "steps")}
    arrays = {name: [x.copy() for x in getattr(optimizer, name)] for name in ARRAYS}
    return {**settings, **arrays, "ranks": gather_states(optimizer.world, own)}


def checked_ranks(optimizer: Any, state: Any) -> list[dict[str, Any]]:
    """`ranks` of a state; CheckpointError, with all differences, if it does not fit optimizer."""
    if not isinstance(state, Mapping):
        raise CheckpointError(f"LocalSteps: a state is a dict, got {type(state).__name__}")
    if missing := [k for k in (*SETTINGS, "steps", *ARRAYS, "ranks") if k not in state]:
        remedy = "; load it into the inner optimizer" if "param_groups" in state else ""
        raise CheckpointError(
            f"LocalSteps: the state is none that its state_dict() returned: it lacks "
            f"{', '.join(map(repr, missing))}{remedy}"
        )
    wrong: list[str] = []
    try:
        checked_settings(*(state[name] for name in SETTINGS))
    except ValueError as error:
        wrong.append(str(error))
    steps, ranks = state["steps"], state["ranks"]
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        wrong.append(f"steps is {steps!r}, expected an integer of at least 0")
    for name in ARRAYS:
        _compare(optimizer, state[name], name, wrong)
    if not isinstance(ranks, list) or not ranks:
        wrong.append("it has no list of ranks")
        ranks = []
    world = optimizer.world
    needed = range(len(ranks)) if len(ranks) != world.size else [world.rank]
    for r in needed:
        if not isinstance(ranks[r], Mapping) or ranks[r].keys() != {"weight", "local", "optimizer"}:
            wrong.append(
                f"it lacks rank {r} of {len(ranks)}; save the state of rank 0, not another"
            )
        elif not _is_number(ranks[r]["weight"]):
            wrong.append(f"the weight of rank {r} is {ranks[r]['weight']!r}, expected a number")
        elif steps:
            _compare(optimizer, ranks[r]["local"], f"local of rank {r}", wrong)
    if wrong:
        raise CheckpointError(f"the state does not fit LocalSteps: {'; '.join(wrong)}")
    return ranks


def _compare(optimizer: Any, arrays: Any, name: str, wrong: list[str]) -> None:
    """Add how arrays differ in shape and dtype from optimizer.tensors to wrong."""
    tensors = optimizer.tensors
    if not isinstance(arrays, list) or len(arrays) != len(tensors):
        got = f"{len(arrays)} arrays" if isinstance(arrays, list) else type(arrays).__name__
        wrong.append(
            f"{name} has {got}, expected one for each of {len(tensors)} parameters and buffers"
        )
        return
    for i, (x, y) in enumerate(zip(arrays, tensors)):
        if not (isinstance(x, np.ndarray) or is_cupy(x)):
            wrong.append(f"{name} {i} is a {type(x).__name__}, expected an array")
        elif x.shape != y.shape or x.dtype != y.dtype:
            wrong.append(f"{name} {i} is {x.dtype} {x.shape}, expected {y.dtype} {y.shape}")
