"""Asynchronous training: updates beside Downpour written in NumPy, staleness, epochs handed out."""

import numpy as np
import pytest
from mpi_runs import run_ranks
from ranks_asynchronous import (
    ARRIVALS,
    BETAS,
    EPS,
    STALENESS,
    adam,
    examples,
    loss_of,
    rate,
    weights,
)

import minigen as mg
from minigen.communication.rows import own_draws, rows_of
from minigen.communication.world import World
from minigen.distributed import Asynchronous


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
    return run_ranks("ranks_asynchronous:checks", 3).results


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


def test_ranks_on_other_machines_get_and_put_the_weights():
    """MPICH can treat the ranks of one machine as if each were on one of its own."""
    # Without Numba, whose import by three processes takes longer than the test.
    environment = {"MPIR_CVAR_NOLOCAL": "1", "MINIGEN_KERNELS": "reference"}
    results = run_ranks("ranks_asynchronous:on_other_machines", 3, environment=environment)
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
