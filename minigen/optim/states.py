"""The state of an optimizer as a snapshot, and the check of a state before it is loaded."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, is_cupy
from minigen.backend.devices import device_of, to_device
from minigen.errors import CheckpointError
from minigen.optim.groups import check_settings
from minigen.tensors import Tensor

State = dict[str, Any]  # of one parameter: arrays by name, and "step" if the optimizer counts steps

# Settings that a state may lack, since it was written before minigen had them: all were off.
ADDED = {"maximize": False, "dampening": 0.0, "centered": False, "amsgrad": False}
OPTIONAL = {"initial_lr"}  # is there only if a schedule is


def snapshot(states: list[State]) -> list[State]:
    """A copy that no later step changes."""
    return [
        {key: value.copy() if _is_array(value) else value for key, value in state.items()}
        for state in states
    ]


def moved(state: State, p: Array) -> State:
    """state with its arrays on the device and in the dtype of p, which `Module.to` may change."""
    for key, value in state.items():
        if _is_array(value) and (value.dtype != p.dtype or device_of(value) != device_of(p)):
            state = {**state, key: to_device(value, device_of(p)).astype(p.dtype)}
    return state


def checked_state(optimizer: Any, state: Any) -> tuple[list[State], list[dict[str, Any]]]:
    """Copies of the parameters' states and the groups' settings in state, for that optimizer.

    CheckpointError, with all differences, if the state is not one of such an optimizer.
    """
    name = type(optimizer).__name__
    if not _is_dict(state):
        raise CheckpointError(f"{name}: a state is a dict, got {type(state).__name__}")
    for key in ("param_groups", "state"):
        if not (isinstance(state.get(key), list | tuple) and all(map(_is_dict, state[key]))):
            reason = "has no list of dicts in" if key in state else "lacks"
            raise CheckpointError(
                f"{name}: the state is none that optimizer.state_dict() returned: it {reason} "
                f"{key!r}"
            )
    states, groups = state["state"], state["param_groups"]
    wrong: list[str] = []
    sizes = [_size(group) for group in groups]
    expected = [_size(group) for group in optimizer.param_groups]
    if sizes != expected:
        wrong.append(f"the state has groups of {sizes} parameters, expected {expected}")
    settings = [
        _checked_group(optimizer, own, group, f"group {i}", wrong)
        for i, (own, group) in enumerate(zip(optimizer.param_groups, groups))
    ]
    loaded = []
    if sizes == expected:
        if len(states) != sum(expected):
            wrong.append(f"the state is of {len(states)} parameters, expected {sum(expected)}")
        settings_of = [each for each, size in zip(settings, sizes) for _ in range(size)]
        for i, (p, entries, group) in enumerate(zip(optimizer.params, states, settings_of)):
            loaded.append(_checked_entries(optimizer, p, entries, group, f"parameter {i}", wrong))
    if wrong:
        raise CheckpointError(f"the state does not fit {name}: " + "; ".join(wrong))
    return loaded, settings


def _checked_group(optimizer, own, group, what, wrong):
    """The settings of a group, or {} if they are wrong; adds differences to wrong."""
    settings = {key: value for key, value in group.items() if key != "params"}
    settings = {key: value for key, value in ADDED.items() if key in own} | settings
    expected = own.keys() - {"params"}
    missing, extra = expected - settings.keys() - OPTIONAL, settings.keys() - expected - OPTIONAL
    _name_keys(what, missing, extra, wrong)
    try:
        (check_settings if missing or extra else optimizer.check)(settings)
    except (TypeError, ValueError) as error:
        wrong.append(f"{what}: {error}")
        return {}
    return settings


def _checked_entries(optimizer, p, entries, group, what, wrong):
    """A copy of the state of p, on its device; adds differences to wrong. It may be empty."""
    used = {key for key, setting in optimizer.STATE.items() if not setting or group.get(setting)}
    counts = {"step"} & {*optimizer.SETTINGS}
    missing = (used | counts) - entries.keys() if entries else ()
    extra = entries.keys() - optimizer.STATE.keys() - counts
    _name_keys(f"the state of {what}", missing, extra, wrong)
    copied = {}
    for key, value in entries.items():
        value = value.data if isinstance(value, Tensor) else value
        if key == "step":
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                wrong.append(f"step of {what} is {value!r}, expected an integer of at least 1")
            else:
                copied[key] = int(value)
        elif not _is_array(value):
            wrong.append(f"{key} of {what} is a {type(value).__name__}, expected an array")
        elif value.shape != p.shape or value.dtype != p.dtype:
            wrong.append(
                f"{key} of {what} is {value.dtype} {value.shape}, expected {p.dtype} {p.shape}"
            )
        elif key not in extra:
            array = to_device(value, p.device)
            copied[key] = array.copy() if array is value else array
    return copied


def _name_keys(what, missing, extra, wrong):
    """Add the sentences about keys that are missing or extra to wrong."""
    for verb, keys in (("lacks", missing), ("has", extra)):
        if keys:
            wrong.append(f"{what} {verb} {', '.join(map(repr, sorted(keys, key=str)))}")


def _size(group: Mapping[str, Any]) -> int | None:
    params = group.get("params")
    return len(params) if isinstance(params, list | tuple) else None


def _is_dict(x: Any) -> bool:
    return isinstance(x, Mapping)


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or is_cupy(x)
