"""DataLoader with world: the ranks' rows of the batches that one process has."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen.communication.world import World
from minigen.data import DataLoader


def batches(loader):
    return [np.array(batch) for batch in loader]


@given(
    examples=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    size=st.integers(1, 5),
    shuffle=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_rows_of_all_ranks_are_the_batches_of_one_process(
    examples, batch_size, size, shuffle, seed
):
    data = np.arange(examples)
    settings = batch_size, shuffle
    one = mg.Generator(seed)
    want = batches(DataLoader(data, *settings, rng=one))
    of_ranks = []
    for rank in range(size):
        rng = mg.Generator(seed)
        loader = DataLoader(data, *settings, rng=rng, world=SimpleNamespace(rank=rank, size=size))
        assert len(loader) == len(want)
        of_ranks.append(batches(loader))
        assert rng.state == one.state
    for whole, parts in zip(want, zip(*of_ranks, strict=True), strict=True):
        assert all(len(part) for part in parts)
        if len(whole) >= size:
            assert np.array_equal(np.concatenate(parts), whole)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
        else:  # a rank without rows has the first, with the weight 0
            assert set(np.concatenate(parts)) == set(whole)


def test_the_rows_of_a_world_are_set_while_its_loop_runs_and_weights_add_up_to_one():
    seen = []
    for rank in range(3):
        world = World()
        world.rank, world.size = rank, 3
        for batch in DataLoader(np.arange(9), 7, world=world):
            seen.append(world.rows)
            assert len(batch) == world.rows.stop - world.rows.start
        assert world.rows is None
    assert [sum(rows.weight for rows in seen[i::2]) for i in range(2)] == [1, 1]
    assert [tuple(rows) for rows in seen[1::2]] == [(0, 1, 2, 0.0), (0, 1, 2, 0.5), (1, 2, 2, 0.5)]


@pytest.mark.parametrize(
    "world, kind, words",
    [
        (3, TypeError, "rank and size are integers, got 3"),
        (SimpleNamespace(rank=0.0, size=2), TypeError, "rank and size are integers"),
        (SimpleNamespace(rank=2, size=2), ValueError, "the rank 2 is not one of 2, from 0 on"),
        (SimpleNamespace(rank=-1, size=2), ValueError, "the rank -1 is not one of 2"),
    ],
)
def test_what_is_no_world_is_named(world, kind, words):
    with pytest.raises(kind, match=words):
        DataLoader(np.arange(9), 7, world=world)
