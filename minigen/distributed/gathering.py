"""States that differ from rank to rank, such as those of optimizers out of step."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, is_cupy
from minigen.backend.devices import to_numpy
from minigen.communication.world import World


def gather_states(world: World, state: Any) -> list[Any]:
    """The states of all ranks in their order on rank 0; elsewhere its own, and None for others.

    All ranks call it, each with its state: nested dicts and lists of arrays, numbers and texts.
    Arrays come back as copies, as NumPy's. One rank sends at a time, so that a rank other than 0
    holds the state of only one other.
    """
    arrays: list[Array] = []
    skeleton = _without_arrays(state, arrays)
    shapes = [[list(x.shape), str(x.dtype)] for x in arrays]
    states = []
    for rank, (other, other_shapes) in enumerate(world.gather([skeleton, shapes])):
        if rank == world.rank:
            parts = [to_numpy(x) for x in arrays]
        else:
            parts = [np.empty(shape, dtype) for shape, dtype in other_shapes]
        parts = world.broadcast(parts, root=rank)
        states.append(_with_arrays(other, parts) if world.rank in (0, rank) else None)
    return states


def _without_arrays(value: Any, arrays: list[Array]) -> Any:
    """A copy of value in which {"array": i} stands for an array, which is appended as arrays[i]."""
    if isinstance(value, np.ndarray) or is_cupy(value):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping):
        return {key: _without_arrays(part, arrays) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(part, arrays) for part in value]
    return value


def _with_arrays(value: Any, arrays: list[Array]) -> Any:
    """The inverse of `_without_arrays`."""
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            return arrays[value["array"]]
        return {key: _with_arrays(part, arrays) for key, part in value.items()}
    return [_with_arrays(part, arrays) for part in value] if isinstance(value, list) else value
