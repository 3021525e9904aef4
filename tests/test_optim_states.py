"""States of optimizers: a snapshot that stays, the same step again, and what does not fit."""

import copy
import re
from itertools import permutations, product

import numpy as np
import pytest
from optimizer_cases import CASES, SHAPES, gradient

import minigen as mg
from minigen import optim
from minigen.data import DataLoader
from minigen.errors import CheckpointError

every_case = pytest.mark.parametrize("name", CASES)


def made(name, dtype=np.float32):
    """Parameters and an optimizer of that case; one parameter is in a group of its own."""
    kind, settings = CASES[name]
    params = [mg.tensor(np.full(shape, 0.5, dtype), requires_grad=True) for shape in SHAPES]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.03}]
    return params, getattr(optim, kind)(groups, **settings)


def steps(params, optimizer, start, stop):
    for step in range(start, stop):
        optimizer.step([mg.Tensor(gradient(step, i).astype(p.dtype)) for i, p in enumerate(params)])
    return [p.data.tobytes() for p in params]


def same(state, other):
    """Whether two states have the same keys, values and bits."""
    if isinstance(state, dict):
        return state.keys() == other.keys() and all(same(state[k], other[k]) for k in state)
    if isinstance(state, list | tuple):
        return len(state) == len(other) and all(map(same, state, other))
    if isinstance(state, np.ndarray):
        return state.dtype == other.dtype and state.tobytes() == other.tobytes()
    return type(state) is type(other) and state == other


@every_case
def test_a_state_is_a_snapshot_that_no_later_step_changes(name):
    params, optimizer = made(name)
    steps(params, optimizer, 0, 2)
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    steps(params, optimizer, 2, 5)
    optimizer.param_groups[0]["lr"] = 7.0
    assert same(state, kept)


@every_case
def test_rolled_back_to_a_state_the_same_steps_follow_bit_for_bit(name):
    params, optimizer = made(name)
    for before in (0, 3):  # without a state of any parameter yet, and with one
        steps(params, optimizer, 0, before)
        state, values = optimizer.state_dict(), [p.numpy().copy() for p in params]
        first = steps(params, optimizer, before, before + 3)
        for _ in range(2):
            for p, value in zip(params, values):
                p.data[...] = value
            optimizer.load_state_dict(state)
            assert steps(params, optimizer, before, before + 3) == first


@every_case
def test_two_optimizers_loaded_from_one_state_stay_apart(name):
    params, optimizer = made(name)
    steps(params, optimizer, 0, 2)
    state = optimizer.state_dict()
    kept, pairs = copy.deepcopy(state), [made(name) for _ in range(2)]
    for _, other in pairs:
        other.load_state_dict(state)
    first = steps(*pairs[0], 2, 5)
    assert steps(*pairs[1], 2, 5) == first
    assert same(state, kept)
    assert same(pairs[0][1].state_dict(), pairs[1][1].state_dict())


def test_states_of_generators_and_loaders_stay_too():
    rng = mg.Generator(3)
    state = rng.state
    rng.normal(5)
    assert state == (3, 0)
    loader = DataLoader(np.arange(9), 2, shuffle=True, rng=mg.Generator(1))
    batches = iter(loader)
    next(batches)
    state = loader.state
    kept = copy.deepcopy(state)
    list(batches), list(loader)
    assert state == kept


@pytest.mark.parametrize("name", ["sgd_dampening", "rmsprop_centered_all", "adamw_amsgrad"])
def test_states_on_a_gpu_are_snapshots_that_load_on_the_host_too(name, device):
    params, optimizer = made(name)
    kind, settings = CASES[name]
    there = [mg.tensor(p.data).to(device).requires_grad_() for p in params]
    groups = [{"params": there[:1]}, {"params": there[1:], "lr": 0.03}]
    other = getattr(optim, kind)(groups, **settings)

    def step(n):
        steps(params, optimizer, n, n + 1)
        other.step([mg.Tensor(gradient(n, i).astype(np.float32)).to(device) for i in range(2)])

    step(0)
    state = other.state_dict()
    kept = [{k: v.copy() for k, v in s.items() if k != "step"} for s in state["state"]]
    step(1)
    assert all((s[k] == v).all() for s, old in zip(state["state"], kept) for k, v in old.items())
    optimizer.load_state_dict(state)  # from the device
    other.load_state_dict(optimizer.state_dict())  # and back
    for p, q in zip(params, there):
        p.data[...] = q.numpy()
    step(2)
    assert all(np.allclose(p.data, q.numpy(), atol=1e-6) for p, q in zip(params, there))


class Adagrad(optim.Optimizer):
    """An optimizer of a user's: p -= rate * g / sqrt(sum of g^2)."""

    SETTINGS, STATE = ("rate", "step"), {"sum": None}

    def __init__(self, params, rate=0.1):
        super().__init__(params, rate=rate)

    @staticmethod
    def formula(p, g, s, rate, step):
        s += g * g
        p -= rate / (1 + 0.1 * (step - 1)) * g / (np.sqrt(s) + 1e-10)


def test_an_optimizer_of_ones_own_has_states_that_are_checked_and_rolled_back():
    p = mg.tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    optimizer, g = Adagrad([p]), mg.Tensor(np.array([3.0, -4.0], np.float32))
    optimizer.step([g])
    assert np.allclose(p.data, [0.9, 2.1]) and repr(optimizer) == "Adagrad(rate=0.1)"
    state, kept = optimizer.state_dict(), p.numpy().copy()
    optimizer.step([g])
    p.data[...], later = kept, p.numpy().copy()
    optimizer.load_state_dict(state)
    optimizer.step([g])
    assert np.array_equal(p.data, later)
    with pytest.raises(CheckpointError, match=r"Adagrad: .*0 lacks 'rate'; .* has .*'betas'"):
        optimizer.load_state_dict(made("adam")[1].state_dict())


# ------------------------------------------------------------------- what does not fit


def broken(change):
    """A state of the case "adam" after two steps, changed by change(state)."""
    params, optimizer = made("adam")
    steps(params, optimizer, 0, 2)
    state = optimizer.state_dict()
    result = change(state)
    return state if result is None else result


def set_in(state, *path_and_value):
    *path, key, value = path_and_value
    for step in path:
        state = state[step]
    if value is None:
        del state[key]
    else:
        state[key] = value


GROUP, STATE = ("param_groups", 0), ("state", 0)
WRONG = {
    "a learning rate that is NaN": ((*GROUP, "lr", float("nan")), ["group 0: lr", "nan"]),
    "a negative learning rate": ((*GROUP, "lr", -0.1), ["group 0: lr", "-0.1"]),
    "an infinite learning rate": ((*GROUP, "lr", float("inf")), ["group 0: lr", "inf"]),
    "a learning rate that is a text": ((*GROUP, "lr", "0.1"), ["group 0: lr", "'0.1'"]),
    "betas that are a number": ((*GROUP, "betas", 0.9), ["group 0: betas", "0.9"]),
    "one beta": ((*GROUP, "betas", (0.9,)), ["group 0: betas", "(0.9,)"]),
    "a beta of 1": ((*GROUP, "betas", (0.9, 1.0)), ["group 0: betas", "1.0"]),
    "a missing setting": ((*GROUP, "eps", None), ["group 0 lacks 'eps'"]),
    "an extra setting": ((*GROUP, "momentum", 0.9), ["group 0 has 'momentum'"]),
    "another size": ((*GROUP, "params", [0, 1]), ["groups of [2, 1] parameters", "[1, 1]"]),
    "no list of parameters": ((*GROUP, "params", 3), ["[None, 1]"]),
    "fewer states": (("state", 1, None), ["state is of 1 parameters, expected 2"]),
    "fewer groups": (("param_groups", 1, None), ["groups of [1] parameters, expected [1, 1]"]),
    "a missing array": ((*STATE, "exp_avg", None), ["parameter 0 lacks 'exp_avg'"]),
    "a missing step": ((*STATE, "step", None), ["parameter 0 lacks 'step'"]),
    "an extra array": ((*STATE, "momentum_buffer", np.ones((3, 2), np.float32)), ["'momentum_bu"]),
    "another shape": ((*STATE, "exp_avg", np.ones(3, np.float32)), ["(3,), expected", "(3, 2)"]),
    "another dtype": ((*STATE, "exp_avg", np.ones((3, 2))), ["float64 (3, 2)", "float32 (3, 2)"]),
    "integers": ((*STATE, "exp_avg", np.ones((3, 2), int)), ["int64 (3, 2), expected float32"]),
    "a list": ((*STATE, "exp_avg", [[1.0, 2.0]] * 3), ["exp_avg of parameter 0 is a list"]),
    "a step of 0": ((*STATE, "step", 0), ["step of parameter 0 is 0"]),
    "a step of half": ((*STATE, "step", 0.5), ["step of parameter 0 is 0.5"]),
    "no dict for a parameter": (("state", 0, [1]), ["list of dicts in 'state'"]),
    "no states": (("state", None), ["lacks 'state'"]),
    "no groups": (("param_groups", None), ["lacks 'param_groups'"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_state_with_a_fault_is_refused_by_name_and_nothing_changes(what):
    path, says = WRONG[what]
    params, optimizer = made("adam")
    steps(params, optimizer, 0, 1)
    kept = optimizer.state_dict()
    with pytest.raises(CheckpointError) as caught:
        optimizer.load_state_dict(broken(lambda state: set_in(state, *path)))
    assert "Adam" in str(caught.value)
    assert all(text in str(caught.value) for text in says), str(caught.value)
    assert same(optimizer.state_dict(), kept)


@pytest.mark.parametrize("state", [None, [], 3, "adam", {}], ids=repr)
def test_what_is_no_state_is_refused(state):
    with pytest.raises(CheckpointError, match="Adam: "):
        made("adam")[1].load_state_dict(state)


KINDS = ("sgd", "sgd_momentum"), ("rmsprop_all",), ("adam", "adam_amsgrad", "adamw_amsgrad")
OF_TWO_KINDS = [pair for two in permutations(KINDS, 2) for pair in product(*two)]


@pytest.mark.parametrize(("own", "other"), OF_TWO_KINDS)
def test_the_state_of_another_optimizer_is_refused_and_nothing_changes(own, other):
    theirs, optimizer = made(other), made(own)
    for pair in (theirs, optimizer):
        steps(*pair, 0, 2)
    kept = optimizer[1].state_dict()
    with pytest.raises(CheckpointError, match=f"does not fit {CASES[own][0]}: group 0 lacks"):
        optimizer[1].load_state_dict(theirs[1].state_dict())
    assert same(optimizer[1].state_dict(), kept)


def test_all_differences_are_named_at_once():
    state = broken(lambda state: set_in(state, "param_groups", 0, "lr", -1.0))
    set_in(state, "param_groups", 1, "eps", "small")
    set_in(state, "state", 0, "exp_avg", np.ones(5))
    set_in(state, "state", 1, "exp_avg_sq", None)
    with pytest.raises(CheckpointError) as caught:
        made("adam")[1].load_state_dict(state)
    for text in ("group 0: lr", "group 1: eps", "exp_avg of parameter 0", "parameter 1 lacks"):
        assert re.search(text, str(caught.value)), text


def test_a_state_from_before_there_were_options_loads_with_all_of_them_off():
    for name, added in (
        ("adam", "amsgrad"),
        ("sgd_momentum", "dampening"),
        ("rmsprop", "centered"),
    ):
        params, optimizer = made(name)
        steps(params, optimizer, 0, 2)
        state = optimizer.state_dict()
        for group in state["param_groups"]:
            del group[added], group["maximize"]
        other = made(name)
        other[1].load_state_dict(state)
        assert other[1].param_groups[0][added] == other[1].param_groups[0]["maximize"] == 0
