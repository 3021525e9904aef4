"""Every entry of a state of an optimizer or schedule, replaced by what does not belong there."""

import copy

import numpy as np
import pytest
from schedule_cases import made as made_schedules
from test_optim_states import made, same, steps

import minigen as mg
from minigen.errors import CheckpointError
from minigen.optim import lr_scheduler

nan, inf = float("nan"), float("inf")
WRONG = [
    *(None, -1, -1.5, nan, inf, "0.1", b"", True, complex(1), object(), {}, [], (), [1], {1: 2}),
    *(np.ones(2), np.array("0.1"), np.array([1, 2], object), np.float64(nan), np.ones((3, 2), int)),
]
NO_CHANGE = object()


def places(state, path=()):
    """The paths of all entries."""
    parts = state.items() if isinstance(state, dict) else enumerate(state)
    for key, value in parts:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def damaged(state, path, value):
    """A copy of state in which the entry at path is value, or is missing (NO_CHANGE)."""
    state = copy.deepcopy(state)
    part = state
    for key in path[:-1]:
        part = part[key]
    if value is NO_CHANGE:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return state


def check(target):
    """Each damaged state is refused with nothing changed, or is a state as good as the first."""
    state, refused = target.state_dict(), 0
    for path in places(state):
        for value in (*WRONG, NO_CHANGE):
            try:
                target.load_state_dict(damaged(state, path, value))
            except CheckpointError:
                refused += 1
                assert same(target.state_dict(), state), (path, value)
            else:
                target.load_state_dict(state)
    assert refused > 0.8 * len(list(places(state))) * len(WRONG)


@pytest.mark.parametrize("name", ["sgd", "sgd_nesterov", "rmsprop_centered_all", "adam_amsgrad"])
def test_a_damaged_state_of_an_optimizer_is_refused_and_nothing_changes(name):
    params, optimizer = made(name)
    steps(params, optimizer, 0, 2)
    check(optimizer)


@pytest.mark.parametrize("name", ["step", "plateau_all", "sequential"])
def test_a_damaged_state_of_a_schedule_is_refused_and_nothing_changes(name):
    optimizer = mg.optim.SGD([{"params": mg.tensor([0.0], requires_grad=True)} for _ in range(2)])
    check(made_schedules(lr_scheduler, optimizer, name)[0])
