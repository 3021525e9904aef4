"""Local steps: the paper's formula on 3 ranks, the same runs again, and states of other ranks."""

import itertools
from contextlib import suppress

import numpy as np
import pytest
from mpi_runs import run_ranks

import minigen as mg
from minigen import nn
from minigen.communication.rows import rows_of
from minigen.data import DataLoader
from minigen.distributed import LocalSteps, Synchronous
from minigen.errors import CheckpointError
from minigen.optim import SGD, Adam

BATCHES = [10, 10, 2, 10, 10, 7, 10, 10, 10, 10]  # rows; of the third, rank 2 has none
EVERY, RATE, MOMENTUM = 4, 0.05, 0.5
DATA = np.random.default_rng(0).standard_normal((len(BATCHES), 10, 4))
GOAL = np.random.default_rng(1).standard_normal((4, 2))
START = np.random.default_rng(2).standard_normal((4, 2))


def line(start=START):
    """A linear map of x (B, 4), as one parameter."""
    return mg.tensor(start.copy(), requires_grad=True)


def inner(w):
    return SGD([w], lr=RATE, momentum=MOMENTUM)


def train(world, w, optimizer, steps):
    """Steps on the rows of this rank, with the mean of a squared error."""
    for i in steps:
        rows = world.split(BATCHES[i])
        x = DATA[i, rows.start : rows.stop]
        x, goal = (mg.tensor(a, device=w.device) for a in (x, x @ GOAL))
        loss = ((x @ w - goal) ** 2).sum() / (rows.stop - rows.start)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    world.rows = None


def by_numpy(size, steps, every=EVERY, outer_lr=0.7, outer_momentum=0.9):
    """The weights after those steps and a last outer step, by the formula of the paper."""
    x, v = START.copy(), np.zeros_like(START)
    ys, us = [x.copy() for _ in range(size)], [0.0] * size  # local weights, their inner momentum
    parts, done = np.zeros(size), 0
    for i, n in enumerate(BATCHES[:steps]):
        for r in range(size):
            rows = rows_of(n, r, size)
            a = DATA[i, rows.start : rows.stop]
            g = 2 * a.T @ (a @ ys[r] - a @ GOAL) / len(a)
            us[r] = MOMENTUM * us[r] + g
            ys[r] = ys[r] - RATE * us[r]
            parts[r] += rows.weight
        done += 1
        if done == every or i == steps - 1:
            d = sum(part / done * (x - y) for part, y in zip(parts, ys))
            v = outer_momentum * v + d
            x = x - outer_lr * (d + outer_momentum * v)
            ys, parts, done = [x.copy() for _ in range(size)], np.zeros(size), 0
    return x


def run_with_norm(folder, world, resume=False, stops=False):
    """A `Run` of two epochs of 6 steps, of a net with batch norm; (state, test losses, steps)."""
    from minigen.training import Run, argument_parser

    args = argument_parser("", out=folder, epochs=2).parse_args(["--device", "cpu"])
    args.resume, args.max_seconds = resume, 0 if stops else args.max_seconds
    rng, losses = mg.Generator(0), []
    linear = lambda *sizes: nn.Linear(*sizes, rng=rng)
    model = nn.Sequential(linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.2, rng=rng), linear(3, 2))
    optimizer = LocalSteps(Adam(model.parameters(), lr=0.05), world, EVERY)
    x = DATA.reshape(-1, 4)[:53].astype(np.float32)
    y = x @ GOAL.astype(np.float32)
    loader = DataLoader((x, y), batch_size=9, shuffle=True, rng=rng, world=world)
    with (
        suppress(SystemExit),
        Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run,
    ):
        for _ in run.epochs():
            for a, b in run.batches():
                loss = mg.mse_loss(model(mg.Tensor(a)), mg.Tensor(b))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            with mg.no_grad(), nn.evaluation(model):
                losses.append(mg.mse_loss(model(mg.Tensor(x)), mg.Tensor(y)).item())
            run.end_epoch(test=losses[-1])
    state = np.concatenate([p.data.ravel() for p in model.state_dict().values()])
    return state, losses, optimizer.steps


# ------------------------------------------------------------------------------ on three ranks


def checks(folder):
    """What the tests below look at, computed on each rank."""
    from mpi4py import MPI

    from minigen import distributed
    from minigen.communication.mpi import MpiWorld
    from minigen.training import checkpoint

    world, found = distributed.start(), {}

    def run(steps=range(10), **settings):
        w = line(START + world.rank)  # of another start on each rank: that of rank 0 counts
        optimizer = LocalSteps(inner(w), world, EVERY, **settings)
        train(world, w, optimizer, steps)
        return w, optimizer

    w, optimizer = run()
    found["before the end"] = w.data.copy()
    optimizer.synchronize()
    found["DiLoCo"] = w.data.copy()
    optimizer.synchronize()
    found["again"], found["bytes"] = w.data.copy(), optimizer.bytes_sent
    w, optimizer = run()
    optimizer.synchronize()
    found["repeated"] = w.data

    w, optimizer = run(outer_lr=1, outer_momentum=0)
    optimizer.synchronize()
    found["means"] = w.data
    w = line()
    train(world, w, LocalSteps(SGD([w], lr=RATE), world, 1, 1, 0), range(10))
    found["each step"], w = w.data, line()
    train(world, w, Synchronous(SGD([w], lr=RATE), world), range(10))
    found["synchronous"], found["in step"] = w.data, world.in_step

    w, optimizer = run(range(6))  # gradients stay local again; 2 steps after an outer step
    state, before = optimizer.state_dict(), w.data.copy()
    path = f"{folder}/state.safetensors"
    if world.rank == 0:
        checkpoint.save_state(path, state)
    world.barrier()
    train(world, w, optimizer, range(6, 10))
    found["went on"] = w.data.copy()
    for name, source in (("own", state), ("file", checkpoint.load_state(path))):
        w, optimizer = run(range(3))
        optimizer.load_state_dict(source)
        found[f"{name} loaded"] = w.data.copy() - before
        train(world, w, optimizer, range(6, 10))
        found[f"{name} resumed"] = w.data.copy()

    part = MPI.COMM_WORLD.Split(world.rank // 2)  # ranks 0 and 1, and rank 2 alone
    fewer = MpiWorld(part, part, world.faults)
    w = line()
    optimizer = LocalSteps(inner(w), fewer, EVERY)
    try:
        optimizer.load_state_dict(state)
    except CheckpointError as error:
        found["refused"] = str(error)
    optimizer.load_state_dict(checkpoint.load_state(path))
    found["on fewer"], found["inner"] = w.data.copy(), optimizer.state[0]["momentum_buffer"].copy()
    found["inner of"] = [
        each["optimizer"]["state"][0]["momentum_buffer"].tolist()
        for each in (checkpoint.load_state(path)["ranks"])
    ]
    train(fewer, w, optimizer, range(6, 10))
    found["steps on fewer"] = optimizer.steps

    norm = nn.BatchNorm1d(2, dtype=np.float64)
    optimizer = LocalSteps(SGD(norm.parameters(), lr=0.1), world, 2)
    optimizer.add_buffers(norm.buffers())
    x = np.random.default_rng(3).standard_normal((2, 8, 2))
    for i in range(2):
        rows = world.split(8)
        mg.sum(norm(mg.tensor(x[i, rows.start : rows.stop])) ** 3).backward()
        optimizer.step()
    world.rows = None
    found["statistics"] = norm.running_mean.data
    found["batches"] = int(norm.num_batches_tracked.data)

    found["run"], found["losses"], _ = run_with_norm(f"{folder}/a", world)
    found["stopped"], _, found["steps of it"] = run_with_norm(f"{folder}/b", world, stops=True)
    found["resumed run"], found["its losses"], _ = run_with_norm(f"{folder}/b", world, resume=True)

    w = line()
    optimizer = LocalSteps(inner(w), world, 2)
    for _ in range(2):
        g = np.full_like(START, np.nan if world.rank == 1 else 1.0)
        optimizer.step([mg.Tensor(g)])
    found["not finite"] = w.data
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("states"))
    return run_ranks("test_mpi_local:checks", 3, {"folder": folder}, timeout=120).results


def test_three_ranks_follow_the_formula(ranks):
    for result in ranks:
        np.testing.assert_allclose(result["DiLoCo"], by_numpy(3, 10), rtol=0, atol=1e-12)
        means = by_numpy(3, 10, outer_lr=1, outer_momentum=0)
        np.testing.assert_allclose(result["means"], means, rtol=0, atol=1e-12)


def test_all_ranks_have_the_same_bits_after_an_outer_step_and_their_own_before(ranks):
    for result in ranks:
        np.testing.assert_array_equal(result["DiLoCo"], ranks[0]["DiLoCo"])
        np.testing.assert_array_equal(result["again"], ranks[0]["DiLoCo"])
    for a, b in itertools.combinations(ranks, 2):
        assert (a["before the end"] != b["before the end"]).all()


def test_two_runs_are_equal_bit_for_bit(ranks):
    for result in ranks:
        np.testing.assert_array_equal(result["repeated"], result["DiLoCo"])


def test_means_at_each_step_are_synchronous_sgd(ranks):
    for result in ranks:
        np.testing.assert_allclose(result["each step"], result["synchronous"], rtol=0, atol=1e-12)
        assert result["in step"]


def test_three_outer_steps_send_three_times_the_weights(ranks):
    assert [result["bytes"] for result in ranks] == [3 * START.nbytes] * 3


def test_a_state_loaded_on_as_many_ranks_goes_on_bit_for_bit(ranks):
    for result, name in itertools.product(ranks, ("own", "file")):
        assert not result[f"{name} loaded"].any()
        np.testing.assert_array_equal(result[f"{name} resumed"], result["went on"])


def test_a_state_loaded_on_fewer_ranks_begins_with_an_outer_step(ranks):
    for result, r in zip(ranks, (0, 1, 0)):
        np.testing.assert_allclose(result["on fewer"], by_numpy(3, 6), rtol=0, atol=1e-12)
        np.testing.assert_array_equal(result["inner"], result["inner of"][r])
        assert result["steps on fewer"] == 0
    assert "refused" not in ranks[0]
    assert "save the state of rank 0" in ranks[1]["refused"]


def test_running_statistics_become_the_means_over_ranks(ranks):
    x = np.random.default_rng(3).standard_normal((2, 8, 2))
    parts = [rows_of(8, r, 3) for r in range(3)]
    running = [
        0.09 * x[0, p.start : p.stop].mean(0) + 0.1 * x[1, p.start : p.stop].mean(0) for p in parts
    ]
    mean = sum(p.weight * m for p, m in zip(parts, running))
    for result in ranks:
        np.testing.assert_allclose(result["statistics"], mean, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(result["statistics"], ranks[0]["statistics"])
        assert result["batches"] == 2


def test_a_run_that_was_stopped_between_outer_steps_goes_on_bit_for_bit(ranks):
    for result in ranks:
        assert result["steps of it"] == 6 - EVERY
        np.testing.assert_array_equal(result["resumed run"], result["run"])
        assert result["its losses"] == result["losses"] == ranks[0]["losses"]
        np.testing.assert_array_equal(result["run"], ranks[0]["run"])
    for a, b in itertools.combinations(ranks, 2):
        assert (a["stopped"] != b["stopped"]).any()


def test_a_nan_of_one_rank_is_everywhere_after_the_outer_step(ranks):
    for result in ranks:
        assert np.isnan(result["not finite"]).all()
