"""What an optimizer is made from: parameters in groups, and settings that are numbers in range."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from minigen.autodiff.graph import Leaf
from minigen.tensors import Tensor

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Mapping[str, Any]]

# The range of each setting, and whether its upper bound is included.
RANGES = {
    **dict.fromkeys(("lr", "weight_decay", "eps"), (0, math.inf, False)),
    **dict.fromkeys(("momentum", "alpha", "dampening"), (0, 1, True)),
    "initial_lr": (0, math.inf, False),  # the learning rate from which a schedule starts
}
FLAGS = "nesterov", "maximize", "amsgrad", "centered"


def list_of_groups(params: Params, name: str) -> list[Mapping[str, Any]]:
    """params, which may be one group of tensors, as a list of groups; name is the optimizer's."""
    if isinstance(params, Tensor):
        raise TypeError(f"{name}: params is a list of tensors, not a tensor; write [p]")
    if isinstance(params, Mapping) and "params" in params:
        raise TypeError(f"{name}: params is a list of groups, not a group; write [group]")
    params = listed(params, name)
    if params and all(isinstance(x, Mapping) for x in params):
        return params
    return [{"params": params}]


def listed(params: Any, name: str) -> list:
    """The elements of params; TypeError for what has no order, or is no collection of tensors."""
    if isinstance(params, Tensor):
        return [params]
    if isinstance(params, Mapping):
        raise TypeError(f"{name}: params is a list, not a dict; give its .values()")
    if isinstance(params, set | frozenset):
        raise TypeError(f"{name}: params is a list, not a set, which has no order to save it in")
    if callable(getattr(params, "parameters", None)):
        raise TypeError(f"{name}: params is a list of tensors; give model.parameters()")
    try:
        return list(params)
    except TypeError:
        raise TypeError(
            f"{name}: params is a list of tensors, not {type(params).__name__}"
        ) from None


def checked_tensors(params: list, before: list[Tensor], name: str) -> list[Tensor]:
    """The tensors of a new group, beside those `before` it; an element may be (name, tensor)."""
    start = len(before)
    tensors = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in params]
    for i, p in enumerate(tensors, start):
        if not isinstance(p, Tensor):
            raise TypeError(
                f"{name}: parameter {i} is a {type(p).__name__}, expected a tensor as "
                "nn.Parameter(x) makes it"
            )
        if p.requires_grad and type(p.node) is not Leaf:
            raise ValueError(
                f"{name}: parameter {i} is computed, not a leaf; optimize what it is computed from"
            )
    if len({id(p) for p in [*before, *tensors]}) < start + len(tensors):
        raise ValueError(f"{name}: a parameter is given twice")
    return tensors


def check_settings(group: dict[str, Any]) -> None:
    """Make Python numbers of the settings of a group; an error, and no change, if one is wrong.

    ValueError for a number out of range, TypeError for what is no number. NumPy's numbers, which
    would widen parameters, and arrays and tensors of one element are converted.
    """
    found = {}
    for key, (low, high, included) in RANGES.items():
        if key in group:
            found[key] = value = _number(key, group[key])
            if not (low <= value < high or (included and value == high)):
                allowed = "in [0, 1]" if included else "finite and not negative"
                raise ValueError(f"{key} must be {allowed}, got {value}")
    for key in FLAGS:
        if key in group:
            found[key] = bool(_number(key, group[key]))
    if "betas" in group:
        try:
            found["betas"] = betas = tuple(_number("betas", beta) for beta in group["betas"])
        except TypeError:
            raise TypeError(f"betas must be two numbers, got {group['betas']!r}") from None
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
    group.update(found)


def _number(key: str, value: Any) -> float:
    """value as a Python number."""
    if getattr(value, "size", None) == 1 and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, int | float):
        raise TypeError(f"{key} must be a number, got {value!r}")
    return value
