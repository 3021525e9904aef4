"""The same steps on any number of ranks: statistics, draws and gradients are of the whole batch."""

import pytest
from mpi_runs import run_ranks


@pytest.fixture(scope="module")
def three_ranks():
    """What `ranks_statistics.everything` found on three ranks."""
    return run_ranks("ranks_statistics:everything", 3).results[0]


@pytest.mark.parametrize("dtype, limit", [("float64", 1e-14), ("float32", 1e-6)])
def test_batch_norm_and_its_derivatives_are_those_of_the_whole_batch(three_ranks, dtype, limit):
    errors = three_ranks[f"batch norm, {dtype}"]
    assert {name: e for name, e in errors.items() if not e <= limit} == {}
    assert len(errors) == 36


def test_losses_are_means_over_the_targets_of_all_ranks(three_ranks):
    errors = three_ranks["losses"]
    assert {name: e for name, e in errors.items() if not e <= 1e-14} == {}
    assert len(errors) == 80


def test_a_mean_is_nan_only_if_no_rank_has_a_target(three_ranks):
    assert all(three_ranks["ignored"].values())
