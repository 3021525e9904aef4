"""The same steps on any number of ranks: statistics, draws and gradients are of the whole batch."""

import sys
from pathlib import Path

import pytest
from mpi_runs import run_ranks

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from rank_models import EXAMPLES, MODELS, all_trained
from same_steps import LIMIT, drift, equal

N = EXAMPLES["two rows in the last batch"]
SETTINGS = {"names": list(MODELS), "steps": 12, "examples": [N]}  # three epochs


@pytest.fixture(scope="module")
def three_ranks():
    """What `ranks_statistics.everything` found on three ranks, for each rank."""
    return run_ranks("ranks_statistics:everything", 3, SETTINGS).results


@pytest.fixture(scope="module")
def one_process():
    return all_trained(**SETTINGS)


@pytest.mark.parametrize("name", MODELS)
def test_three_ranks_take_the_steps_of_one_process(three_ranks, one_process, name):
    """Dropout, noise, batch norm, padding, second derivatives; rows are uneven, or too few."""
    key = f"{name}, {N}"
    assert drift(three_ranks[0][key], one_process[key]) <= LIMIT
    assert all(equal(rank, three_ranks[0], key) for rank in three_ranks)


def test_two_runs_on_three_ranks_are_equal_bit_for_bit(three_ranks):
    names = SETTINGS["names"][:4]
    again = run_ranks("rank_models:all_trained", 3, SETTINGS | {"names": names}).results
    assert all(equal(again[0], three_ranks[0], f"{name}, {N}") for name in names)


@pytest.mark.parametrize("dtype, limit", [("float64", 1e-14), ("float32", 1e-6)])
def test_batch_norm_and_its_derivatives_are_those_of_the_whole_batch(three_ranks, dtype, limit):
    errors = three_ranks[0][f"batch norm, {dtype}"]
    assert {name: e for name, e in errors.items() if not e <= limit} == {}
    assert len(errors) == 36


def test_losses_are_means_over_the_targets_of_all_ranks(three_ranks):
    errors = three_ranks[0]["losses"]
    assert {name: e for name, e in errors.items() if not e <= 1e-14} == {}
    assert len(errors) == 80


def test_a_mean_is_nan_only_if_no_rank_has_a_target(three_ranks):
    assert all(three_ranks[0]["ignored"].values())


def test_packed_sequences_draw_as_if_all_were_as_long_as_the_longest_of_all_ranks(three_ranks):
    errors = three_ranks[0]["packed"]
    assert {name: e for name, e in errors.items() if not e <= 1e-14} == {} and len(errors) == 4


def test_batch_norm_over_ranks_keeps_what_it_promises_at_the_extremes(three_ranks):
    for rank in three_ranks:
        assert [name for name, holds in rank["extremes"].items() if not holds] == []
        assert len(rank["extremes"]) == 8
