"""Asynchronous training: updates beside Downpour written in NumPy, staleness, epochs handed out."""

import time

import numpy as np
import pytest
from mpi_runs import run_ranks

import minigen as mg
from minigen.communication.rows import own_draws, rows_of
from minigen.communication.world import World, current
from minigen.data import DataLoader
from minigen.distributed import Asynchronous, start
from minigen.errors import DistributedError

# The ranks whose gradients arrive, in this order. That of rank 2 comes after 4 updates by others,
# then after 5, then in time; at the end that of rank 1 comes after 6.
ARRIVALS = [0, 1, 0, 0, 2, 0, 1, 0, 1, 0, 2, 2, 0, 0, 2, 0, 0, 2, 1]
STALENESS = 4
BETAS, EPS = (0.8, 0.9), 1e-8
rate = lambda event: 0.05 / (1 + event)  # a schedule


def weights():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(4, 3)), rng.normal(size=3)]


def examples(event):
    rng = np.random.default_rng(1000 + event)
    return rng.normal(size=(5, 4)), rng.normal(size=(5, 3))


def loss_of(params, event):
    x, y = examples(event)
    return ((mg.Tensor(x) @ params[0] + params[1] - mg.Tensor(y)) ** 2).mean()


def sgd(params):
    return mg.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5)


def adam(params):
    return mg.optim.Adam(params, lr=0.1, betas=BETAS, eps=EPS)


# ------------------------------------------------------------------------------- on the ranks


def taking_turns(optimizer_of, make):
    """Steps in the order of ARRIVALS: weights, and whether each gradient was dropped."""
    world = start()
    params = [mg.tensor(w + world.rank, requires_grad=True) for w in weights()]
    optimizer = make(optimizer_of(params), world, staleness=STALENESS)
    was_dropped = []
    for event, rank in enumerate(ARRIVALS):
        if rank == world.rank:
            before = optimizer.dropped
            for group in optimizer.param_groups:
                group["lr"] = rate(event)
            optimizer.zero_grad()
            loss_of(params, event).backward()
            optimizer.step()
            was_dropped.append(optimizer.dropped - before)
        world.barrier()
    optimizer.synchronize()
    found = {"W": params[0].numpy(), "b": params[1].numpy(), "dropped": was_dropped}
    return found, optimizer.state_dict()["state"]


def checks():
    world = start()
    found = {}
    for optimizer_of in (sgd, adam):
        result, state = taking_turns(optimizer_of, Asynchronous)
        result |= {f"state {key}": np.asarray(value) for key, value in state[0].items()}
        found |= {f"{optimizer_of.__name__} {key}": value for key, value in result.items()}
    found |= nobody_waits(world) | refusals(world) | saved_and_loaded(world) | handed_out(world)
    return found


def nobody_waits(world):
    """Two ranks make 20 updates each while rank 2 computes; then its gradient comes too late."""
    params = [mg.tensor(w, requires_grad=True) for w in weights()]
    optimizer = Asynchronous(adam(params), world)
    calls = []

    def closure():
        calls.append(optimizer.read_after)
        if world.rank == 2:
            while optimizer.shared.updates[0] < 40:  # without a call of MPI
                time.sleep(1e-3)
        optimizer.zero_grad()
        loss = loss_of(params, len(calls))
        loss.backward()
        return loss.item()

    for _ in range(20 if world.rank < 2 else 1):
        optimizer.step(closure)
    world.barrier()
    return {"waiting": [optimizer.dropped, len(calls), int(optimizer.shared.updates[0])]}


def refusals(world):
    params = [mg.tensor(w, requires_grad=True) for w in weights()]
    optimizer = Asynchronous(sgd(params), world)
    attempts = {
        "infinite": lambda: optimizer.step([mg.tensor(np.full((4, 3), np.inf)), None]),
        "group": lambda: optimizer.add_param_group({"params": [mg.tensor(1.0)]}),
        "shape": lambda: optimizer.step([params[1], None]),
        "written": lambda: optimizer.step([mg.tensor(np.ones((4, 3))), None]),
    }
    messages = {}
    for name, attempt in attempts.items():
        if name == "written":
            sgd(params).step([mg.tensor(np.ones((4, 3))), None])
        try:
            attempt()
        except (ArithmeticError, DistributedError, ValueError) as error:
            messages[name] = f"{type(error).__name__}: {error}"
    optimizer.synchronize()
    same = all(np.array_equal(p.data, w) for p, w in zip(params, weights()))
    return {"refusals": messages, "unchanged": [same, int(optimizer.shared.updates[0])]}


def saved_and_loaded(world):
    """Weights and state after a load, which differs between ranks; a step of all continues it."""
    params = [mg.tensor(w, requires_grad=True) for w in weights()]
    optimizer = Asynchronous(adam(params), world)
    if world.rank == 1:
        for event in range(3):
            optimizer.zero_grad()
            loss_of(params, event).backward()
            optimizer.step()
    optimizer.synchronize()
    state = optimizer.state_dict()
    values = [p.numpy() for p in params]
    again = [mg.tensor(w * world.rank, requires_grad=True) for w in values]
    for p, w in zip(again, values):
        p.data = w.copy()
    other = Asynchronous(adam(again), world)
    other.load_state_dict(state)
    if world.rank == 0:
        for each, its in ((optimizer, params), (other, again)):
            each.zero_grad()
            loss_of(its, 7).backward()
            each.step()
    optimizer.synchronize()
    other.synchronize()
    equal = [np.array_equal(a.data, b.data) for a, b in zip(params, again)]
    return {"loaded": equal, "loaded step": other.state_dict()["state"][0]["step"]}


def handed_out(world):
    """The examples of this rank in two epochs, the second of which stops and goes on."""
    rng = mg.Generator(5)
    Asynchronous(sgd([mg.tensor(1.0, requires_grad=True)]), world)
    loader = DataLoader(np.arange(100), batch_size=10, shuffle=True, rng=rng, world=world)
    epochs, weights_of_rows = [[], [], []], 0.0
    for batch in loader:
        epochs[0] += batch.tolist()
        weights_of_rows += world.rows.weight
        rng.normal(world.rows.total)  # a draw for each step of this rank: the states differ
        time.sleep(0.02 if world.rank == 0 else 0.001)
    for batch in loader:
        epochs[1] += batch.tolist()
        if world.rank == 1:
            world.handing_out.stop()
        while len(epochs[1]) > 6 and world.handing_out.end == 10:
            time.sleep(1e-3)
    loader.state = stopped = loader.state  # without this, the next `for` is a new epoch
    for batch in loader:
        epochs[2] += batch.tolist()
    return {
        "epochs": epochs,
        "weight": weights_of_rows,
        "rows": str(current().rows),
        "stopped at": stopped["batches_given"],
        "ended at": loader.state["batches_given"],
    }


# ---------------------------------------------------------------------------------- the tests


def downpour(update, state):
    """Dean et al. 2012 in the order of ARRIVALS: weights, and for each rank what was dropped."""
    w, updates, n = weights(), 0, 0
    read, read_after = [[x.copy() for x in w] for _ in range(3)], [0, 0, 0]
    dropped = [[], [], []]
    for event, rank in enumerate(ARRIVALS):
        (x, y), (W, b) = examples(event), read[rank]
        error = 2 * (x @ W + b - y) / y.size
        late = updates - read_after[rank] > STALENESS
        if not late:
            n += 1
            for i, g in enumerate((x.T @ error, error.sum(0))):
                update(w[i], g, state[i], rate(event), n)
            updates += 1
        read[rank], read_after[rank] = [x.copy() for x in w], updates
        dropped[rank].append(int(late))
    return w, dropped


def sgd_update(w, g, state, lr, n):
    state["v"] = g if n == 1 else 0.9 * state["v"] + 0.5 * g
    w -= lr * state["v"]


def adam_update(w, g, state, lr, n):
    state["m"] = BETAS[0] * state.get("m", 0) + (1 - BETAS[0]) * g
    state["s"] = BETAS[1] * state.get("s", 0) + (1 - BETAS[1]) * g * g
    m, s = state["m"] / (1 - BETAS[0] ** n), state["s"] / (1 - BETAS[1] ** n)
    w -= lr * m / (np.sqrt(s) + EPS)


@pytest.fixture(scope="module")
def three_ranks():
    return run_ranks("test_mpi_asynchronous:checks", 3).results


UPDATES = {"sgd": sgd_update, "adam": adam_update}


def assert_downpour(results, name):
    state = [{}, {}]
    (W, b), dropped = downpour(UPDATES[name], state)
    for rank, found in enumerate(results):
        np.testing.assert_allclose(found[f"{name} W"], W, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found[f"{name} b"], b, rtol=1e-12, atol=1e-14)
        assert found[f"{name} dropped"] == dropped[rank]
    return state[0], dropped


@pytest.mark.parametrize("name", UPDATES)
def test_the_updates_are_those_of_downpour_in_the_order_of_arrival(three_ranks, name):
    state, dropped = assert_downpour(three_ranks, name)
    # At the bound a gradient is applied, one update beyond it is dropped.
    assert dropped == [[0] * 10, [0, 0, 0, 1], [0, 1, 0, 0, 0]]
    for found in three_ranks:
        if name == "adam":
            assert found["adam state step"] == len(ARRIVALS) - 2
            np.testing.assert_allclose(found["adam state exp_avg_sq"], state["s"], rtol=1e-12)
        else:
            np.testing.assert_allclose(found["sgd state momentum_buffer"], state["v"], rtol=1e-12)


def test_no_rank_waits_for_one_that_computes_and_a_closure_is_called_until_it_is_in_time(
    three_ranks,
):
    found = [each["waiting"] for each in three_ranks]
    assert found[2] == [1, 2, 41]
    assert sum(calls - dropped for dropped, calls, _ in found) == 41


def test_what_cannot_be_is_refused_and_changes_nothing(three_ranks):
    for rank, found in enumerate(three_ranks):
        messages = found["refusals"]
        assert f"parameter 0 is not finite on rank {rank}" in messages["infinite"]
        assert "the ranks share the parameters" in messages["group"]
        assert messages["shape"].startswith("ShapeError")
        assert "written to" in messages["written"]
        assert found["unchanged"] == [True, 0]


def test_a_state_goes_on_where_it_was_saved(three_ranks):
    assert all(each["loaded"] == [True, True] for each in three_ranks)
    assert {int(each["loaded step"]) for each in three_ranks} == {4}


def test_an_epoch_is_handed_out_completely_and_exactly_once(three_ranks):
    epochs = [[x for each in three_ranks for x in each["epochs"][i]] for i in range(3)]
    assert sorted(epochs[0]) == list(range(100))
    assert sorted(epochs[1] + epochs[2]) == list(range(100)) and epochs[2]
    assert len(three_ranks[0]["epochs"][0]) < min(
        len(each["epochs"][0]) for each in three_ranks[1:]
    )
    assert sum(each["weight"] for each in three_ranks) == pytest.approx(10, rel=1e-12)
    (end,) = {each["stopped at"] for each in three_ranks}
    assert len(epochs[1]) == 10 * end
    assert {each["ended at"] for each in three_ranks} == {0}
    assert {each["rows"] for each in three_ranks} == {"None"}


def on_other_machines():
    return taking_turns(adam, Asynchronous)[0] | {"local": current().local_size}


def test_ranks_on_other_machines_get_and_put_the_weights():
    """MPICH can treat the ranks of one machine as if each were on one of its own."""
    environment = {"MPIR_CVAR_NOLOCAL": "1"}
    results = run_ranks("test_mpi_asynchronous:on_other_machines", 3, environment=environment)
    assert_downpour([{f"adam {k}": v for k, v in r.items()} for r in results.results], "adam")


@pytest.mark.parametrize("total", range(1, 12))
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_no_two_ranks_draw_the_same_rows_for_any_parts(total, size):
    for parts in np.ndindex((size,) * min(size, 3)):
        drawn = [own_draws(rows_of(total, p, size), r, size) for r, p in enumerate(parts)]
        for rows, p in zip(drawn, parts):
            assert rows.stop - rows.start == rows_of(total, p, size)[1] - rows_of(total, p, size)[0]
            assert rows.stop <= rows.total
        taken = [i for rows in drawn for i in range(rows.start, rows.stop)]
        assert len(taken) == len(set(taken))


def test_one_process_alone_has_the_steps_of_the_inner_optimizer():
    runs = []
    for make in (lambda o, *_, **__: o, Asynchronous):
        params = [mg.tensor(w, requires_grad=True) for w in weights()]
        optimizer = make(adam(params), World())
        for event in range(5):
            optimizer.zero_grad()
            loss_of(params, event).backward()
            optimizer.step()
        runs.append(params)
    assert all(np.array_equal(a.data, b.data) for a, b in zip(*runs))


@pytest.mark.parametrize("staleness", [-1, 1.5, True, None])
def test_staleness_is_a_number_of_updates(staleness):
    optimizer = adam([mg.tensor(1.0, requires_grad=True)])
    with pytest.raises(ValueError, match="staleness must be an integer >= 0"):
        Asynchronous(optimizer, World(), staleness)
