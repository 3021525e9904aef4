"""Schedule objects: PyTorch's learning rates at every step, states, and what they refuse."""

import copy
from pathlib import Path

import numpy as np
import pytest
from schedule_cases import CASES, EPOCHS, LRS, made, step

import minigen as mg
from minigen import schedule
from minigen.errors import CheckpointError
from minigen.optim import SGD, Adam, lr_scheduler

FIXTURE = Path(__file__).parent / "fixtures" / "schedules.safetensors"
NAMES = [*CASES, "chained", "sequential"]


def optimizer(kind=SGD, **settings):
    groups = [{"params": mg.tensor([0.0], requires_grad=True), "lr": lr} for lr in LRS]
    return kind(groups, **settings)


def run(name, optimizer, schedules, start, stop):
    """[lr, momentum] of each group at each epoch."""
    rows = []
    for epoch in range(start, stop):
        rows.append([[g["lr"], g["momentum"]] for g in optimizer.param_groups])
        step(schedules, name, epoch)
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_learning_rates_are_pytorchs_at_every_step(name):
    sgd = optimizer(momentum=0.9)
    schedules = made(lr_scheduler, sgd, name)
    rows = run(name, sgd, schedules, 0, EPOCHS)
    rows.append([[g["lr"], g["momentum"]] for g in sgd.param_groups])
    expected = mg.load(FIXTURE)[name].data
    assert np.abs(np.array(rows) - expected).max() < 1e-12
    assert schedules[-1].get_last_lr() == [g["lr"] for g in sgd.param_groups]


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_a_snapshot_from_which_the_same_steps_follow(name):
    sgd = optimizer(momentum=0.9)
    schedules = made(lr_scheduler, sgd, name)
    run(name, sgd, schedules, 0, 8)
    states = [sgd.state_dict(), *(each.state_dict() for each in schedules)]
    kept = copy.deepcopy(states)
    later = run(name, sgd, schedules, 8, EPOCHS)
    assert states == kept
    other = optimizer(momentum=0.9)
    fresh = made(lr_scheduler, other, name)
    for each, state in zip([other, *fresh], states):
        each.load_state_dict(state)
    assert run(name, other, fresh, 8, EPOCHS) == later
    assert states == kept


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(name):
    each = made(lr_scheduler, optimizer(momentum=0.9), name)[0]
    state = each.state_dict()
    nan = float("nan")
    for wrong, says in (
        (None, "dict"),
        ({**state, "last_epoch": -1}, "'last_epoch' is -1"),
        ({**state, "last_epoch": 0.5}, "'last_epoch' is 0.5"),
        ({**state, "last_lr": [0.1]}, "'last_lr' is"),
        ({**state, "last_lr": [0.1, nan]}, "'last_lr' is"),
        ({**state, "last_lr": [0.1, -1.0]}, "'last_lr' is"),
        ({**state, "other": 1}, "has 'other'"),
        ({k: v for k, v in state.items() if k != "last_lr"}, "lacks 'last_lr'"),
    ):
        with pytest.raises(CheckpointError, match=f"{type(each).__name__}.*{says}"):
            each.load_state_dict(wrong)
        assert each.state_dict() == state


def test_one_cycle_of_adam_moves_its_first_beta():
    adam = optimizer(Adam)
    cycle = lr_scheduler.OneCycleLR(adam, 0.5, 10)
    assert adam.param_groups[0]["betas"] == (0.95, 0.999)
    for _ in range(10):
        cycle.step()
    with pytest.raises(ValueError, match=r"OneCycleLR: step 11 is after the last one, 10"):
        cycle.step()
    assert cycle.last_epoch == 10


def test_functions_of_the_step_are_schedules_too():
    sgd = optimizer()
    lr_scheduler.LambdaLR(sgd, schedule.cosine(10, warmup=1)).step()
    assert sgd.param_groups[0]["lr"] == 0.1


def test_a_group_that_is_added_later_joins_the_schedule():
    sgd = optimizer()
    halved = lr_scheduler.ExponentialLR(sgd, 0.5)
    halved.step()
    sgd.add_param_group({"params": mg.tensor([0.0], requires_grad=True), "lr": 1.0})
    halved.step()
    assert halved.get_last_lr() == [0.025, 0.0075, 0.5]


def test_names_that_are_left_out_say_what_to_write():
    with pytest.raises(AttributeError, match=r"PolynomialLR.*LambdaLR"):
        lr_scheduler.PolynomialLR  # noqa: B018
    with pytest.raises(AttributeError, match=r"Adagrad.*Adam has replaced it"):
        mg.optim.Adagrad  # noqa: B018


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda o: lr_scheduler.StepLR(0.1, 3), "StepLR: optimizer is a float"),
        (lambda o: lr_scheduler.StepLR(o, 0), "step_size must be an integer .*0"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 0.5), r"T_max must be an integer .*0\.5"),
        (lambda o: lr_scheduler.LinearLR(o, 0), "start_factor"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs]), "LambdaLR: 1 functions for 2 groups"),
        (lambda o: lr_scheduler.LambdaLR(o, lambda e: -1), "LambdaLR: the learning rate of .*0 is"),
        (lambda o: lr_scheduler.LambdaLR(o, lambda e: float("nan")), "is nan"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "least"), "mode .*'least'"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1), "factor .* 1"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1), "needs total_steps"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, anneal_strategy="up"), "'up'"),
        (lambda o: lr_scheduler.SequentialLR(o, [], [3]), "0 schedulers need"),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ReduceLROnPlateau(o)], []),
            "ReduceLROnPlateau cannot",
        ),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(optimizer(), 1)], []),
            "another optimizer",
        ),
    ],
)
def test_schedules_refuse_what_makes_no_sense(make, says):
    sgd = optimizer()
    with pytest.raises((ValueError, TypeError), match=says):
        make(sgd)
    assert [g["lr"] for g in sgd.param_groups] == LRS
