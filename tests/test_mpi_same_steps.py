"""The same steps on any number of ranks: statistics, draws and gradients are of the whole batch."""

import numpy as np
import pytest
from mpi_runs import run_ranks


def sums_over_ranks():
    """On each rank: sums, means and JSON values of all."""
    from minigen import distributed

    world = distributed.start()
    x = np.arange(3.0) + world.rank
    return {
        "size": world.size,
        "sum": world.all_reduce(x, "sum"),
        "gathered": world.gather({"rank": world.rank}),
    }


@pytest.fixture(scope="module")
def three_ranks():
    return run_ranks("test_mpi_same_steps:sums_over_ranks", 3)


def test_every_rank_gets_the_sum_over_ranks(three_ranks):
    for result in three_ranks.results:
        assert result["size"] == 3
        np.testing.assert_array_equal(result["sum"], [3.0, 6.0, 9.0])
        assert result["gathered"] == [{"rank": r} for r in range(3)]
