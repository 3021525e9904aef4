"""Local steps of one process alone; settings, groups, hooks, states. Ranks: test_mpi_local.py."""

import numpy as np
import pytest
from test_mpi_local import EVERY, START, by_numpy, inner, line, train

import minigen as mg
from minigen import nn
from minigen.backend.devices import device_of
from minigen.communication.world import World
from minigen.distributed import LocalSteps
from minigen.errors import CheckpointError
from minigen.optim import SGD, Adam, lr_scheduler
from minigen.training import checkpoint


def test_one_process_alone_follows_the_formula_too():
    world, w = World(), line()
    optimizer = LocalSteps(inner(w), world, EVERY)
    train(world, w, optimizer, range(10))
    optimizer.synchronize()
    np.testing.assert_allclose(w.data, by_numpy(1, 10), rtol=0, atol=1e-12)


def test_one_process_alone_with_means_is_the_inner_optimizer():
    world, w, expected = World(), line(), line()
    train(world, w, LocalSteps(inner(w), world, 1, 1, 0), range(10))
    train(world, expected, inner(expected), range(10))
    np.testing.assert_array_equal(w.data, expected.data)


def test_a_frozen_parameter_stays_where_it_is():
    world, w, frozen = World(), line(), line()
    optimizer = LocalSteps(SGD([w, frozen], lr=0.1), world, 2)
    ones = mg.Tensor(np.ones_like(START))
    for _ in range(2):
        optimizer.step([ones, ones])
    frozen.requires_grad = False
    before = frozen.data.copy()
    for _ in range(4):
        optimizer.step([ones, ones])
    np.testing.assert_array_equal(frozen.data, before)


def test_schedules_hooks_groups_and_dtypes_work_around_the_inner_optimizer():
    layer, calls = nn.Linear(4, 2), []
    layer.weight.data[...] = START.T
    optimizer = LocalSteps(Adam(layer.parameters(), lr=0.1), World(), 2)
    schedule = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    extra = line()
    optimizer.add_param_group({"params": [extra], "lr": 1.0})
    assert "every=2" in repr(optimizer) and "Adam" in repr(optimizer)

    def closure():
        optimizer.zero_grad()
        loss = (layer(mg.ones((3, 4), layer.weight.dtype)) ** 2).sum() + (extra**2).sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(4)]
    assert losses[-1] < losses[0] and len(calls) == 4
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.5]
    layer.double()
    state = optimizer.state_dict()
    optimizer.step(closure)
    optimizer.step(closure)
    assert optimizer.outer[0].dtype == np.float64
    with pytest.raises(CheckpointError, match=r"outer 0 is float32 .*, expected float64"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "every must be an integer of at least 1, got 0"),
        ({"every": 2.0}, "every must be an integer of at least 1, got 2.0"),
        ({"every": True}, "every must be an integer"),
        ({"outer_lr": -0.1}, "outer_lr must be a number above 0, got -0.1"),
        ({"outer_lr": float("nan")}, "outer_lr must be"),
        ({"outer_lr": "1"}, "outer_lr must be"),
        ({"outer_momentum": -0.5}, r"outer_momentum must be a number in \[0, 1\), got -0.5"),
        ({"outer_momentum": 1}, "outer_momentum must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LocalSteps(inner(line()), World(), **settings)


def test_what_is_no_optimizer_and_no_world_is_refused():
    optimizer = inner(line())
    with pytest.raises(TypeError, match="expected an optimizer of minigen"):
        LocalSteps([line()], World())
    with pytest.raises(TypeError, match="expected the world that distributed"):
        LocalSteps(optimizer, None)
    with pytest.raises(TypeError, match="wrapped for several processes already"):
        LocalSteps(LocalSteps(optimizer, World()), World())


def test_states_that_do_not_fit_are_refused_and_change_nothing():
    w = line()
    optimizer = LocalSteps(inner(w), World(), 4)
    train(World(), w, optimizer, range(2))
    state, before = optimizer.state_dict(), w.data.copy()
    for key, value, message in (
        ("every", 0, "every must be an integer"),
        ("steps", -1, "steps is -1"),
        ("outer", [], "outer has 0 arrays, expected one for each of 1"),
        ("momentum", [START.astype(np.float32)], r"momentum 0 is float32 .* expected float64"),
        ("ranks", [], "no list of ranks"),
        ("ranks", [None], "lacks rank 0 of 1"),
        ("ranks", [{**state["ranks"][0], "optimizer": {}}], "lacks 'param_groups'"),
        ("ranks", [{**state["ranks"][0], "local": [3]}], "local of rank 0 0 is a int"),
    ):
        with pytest.raises(CheckpointError, match=message):
            optimizer.load_state_dict({**state, key: value})
    with pytest.raises(CheckpointError, match="load it into the inner optimizer"):
        optimizer.load_state_dict(inner(line()).state_dict())
    np.testing.assert_array_equal(w.data, before)
    assert optimizer.steps == 2


def test_arrays_stay_on_the_device_and_a_state_moves_between_devices(tmp_path, device):
    world, here = World(), line()
    optimizer = LocalSteps(inner(here), world, EVERY)
    train(world, here, optimizer, range(6))
    checkpoint.save_state(tmp_path / "here", optimizer.state_dict())
    train(world, here, optimizer, range(6, 10))

    there = mg.tensor(START.copy(), requires_grad=True, device=device)
    optimizer = LocalSteps(inner(there), world, EVERY)
    train(world, there, optimizer, range(2))
    optimizer.load_state_dict(checkpoint.load_state(tmp_path / "here"))
    train(world, there, optimizer, range(6, 10))
    assert there.device == device
    assert {device_of(x) for x in (*optimizer.outer, *optimizer.momentum)} == {device}
    np.testing.assert_allclose(there.numpy(), here.data, rtol=0, atol=1e-12)
