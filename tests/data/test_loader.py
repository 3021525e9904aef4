import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.data import DataLoader
from minigen.random import Generator, default_generator

X = np.arange(20).reshape(10, 2)
Y = np.arange(10)


def epoch(loader):
    return [batch.tolist() for batch in loader]


def shuffled_loader(seed=0, **options):
    options = {"batch_size": 3, "shuffle": True, **options}
    return DataLoader(Y, rng=Generator(seed), **options)


def test_a_tuple_of_arrays_gives_tuples_of_batches_in_order():
    batches = list(DataLoader((X, Y), 4))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), Y)


def test_a_single_array_gives_arrays_and_a_tuple_of_one_gives_tuples():
    assert epoch(DataLoader(Y, 5)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    ((batch,),) = DataLoader((Y,), 10)
    assert batch.tolist() == Y.tolist()


@pytest.mark.parametrize("size, whole, dropped", [(1, 10, 10), (3, 4, 3), (5, 2, 2), (10, 1, 1)])
def test_len_counts_the_batches(size, whole, dropped):
    for drop_last, expected in ((False, whole), (True, dropped)):
        loader = DataLoader(Y, size, drop_last=drop_last)
        assert len(loader) == len(list(loader)) == expected
    assert len(DataLoader(Y, 11)) == 1


def test_shuffling_keeps_corresponding_rows_together_and_yields_each_once():
    batches = list(DataLoader((X, Y), 3, shuffle=True, rng=Generator(5)))
    x, y = (np.concatenate(parts) for parts in zip(*batches))
    np.testing.assert_array_equal(x, X[y])
    assert y.tolist() != Y.tolist() and sorted(y.tolist()) == Y.tolist()


def test_each_epoch_has_its_own_order_determined_by_the_seed():
    loader = shuffled_loader(3)
    epochs = [epoch(loader) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    again = shuffled_loader(3)
    assert [epoch(again) for _ in range(3)] == epochs


def test_the_order_is_a_permutation_by_the_generator():
    (order,) = epoch(shuffled_loader(9, batch_size=10))
    assert order == Generator(9).permutation(10).tolist()


def test_the_default_generator_is_used_only_to_shuffle():
    saved = default_generator().state
    try:
        list(DataLoader(Y, 3))
        assert default_generator().state == saved
        list(DataLoader(Y, 3, shuffle=True))
        assert default_generator().state != saved
    finally:
        default_generator().state = saved


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_do_not_alias_the_data(shuffle):
    data = np.zeros((4, 2))
    for batch in DataLoader(data, 2, shuffle=shuffle):
        batch += 1
    assert not data.any()


def test_a_break_ends_the_epoch_and_the_next_for_starts_another():
    loader, other = shuffled_loader(), shuffled_loader()
    list(islice(loader, 2))
    epoch(other)
    assert epoch(loader) == epoch(other)


@given(
    done=st.integers(0, 12), shuffle=st.booleans(), drop_last=st.booleans(), size=st.integers(1, 10)
)
def test_a_resumed_run_yields_the_same_batches_as_an_uninterrupted_one(
    done, shuffle, drop_last, size
):
    """Three epochs; the loader's generator is also used between batches, as by dropout."""
    options = {"shuffle": shuffle, "drop_last": drop_last, "batch_size": size}

    def run(loader, epochs, seen):
        for number in epochs:
            for batch in loader:
                loader.rng.uniform(3)
                seen.append((number, batch.tolist()))
                if len(seen) == done:
                    saved.update(number=number, text=json.dumps(loader.state))

    saved, whole = {}, []
    loader = shuffled_loader(4, **options)
    saved.update(number=0, text=json.dumps(loader.state))
    run(loader, range(3), whole)

    resumed = shuffled_loader(99, **options)
    resumed.state = json.loads(saved["text"])
    rest = []
    run(resumed, range(saved["number"], 3), rest)
    assert rest == whole[done if done <= len(whole) else 0 :]


def test_a_state_taken_after_an_epoch_starts_the_next():
    loader = shuffled_loader()
    epoch(loader)
    resumed = shuffled_loader(7)
    resumed.state = loader.state
    assert loader.state["batches_given"] == 0
    assert epoch(resumed) == epoch(loader)


def test_a_state_taken_at_the_last_batch_ends_that_epoch_first():
    loader = shuffled_loader()
    batches = iter(loader)
    list(islice(batches, len(loader)))
    resumed = shuffled_loader(7)
    resumed.state = loader.state
    assert epoch(resumed) == list(batches) == []
    assert epoch(resumed) == epoch(loader)


def test_the_state_includes_the_batch_that_the_loop_is_using():
    loader = shuffled_loader()
    counts = [loader.state["batches_given"] for _ in loader]
    assert counts == [1, 2, 3, 4]


def test_a_set_state_is_used_once():
    loader = shuffled_loader()
    batches = epoch(loader)
    loader = shuffled_loader()
    list(islice(loader, 1))
    loader.state = loader.state
    assert epoch(loader) == batches[1:]
    assert len(epoch(loader)) == 4


def test_the_state_of_another_loader_is_refused_and_nothing_changes():
    loader = shuffled_loader()
    before = loader.state
    strange = before | {"examples": 11, "batch_size": 4, "batches_given": 5, "rng": [8, 8]}
    with pytest.raises(ValueError, match=r"examples is 11, not 10.*batch_size.*batches_given"):
        loader.state = strange
    with pytest.raises(ValueError, match=r"lacks.*'batches_given'"):
        loader.state = {"batch_size": 3}
    with pytest.raises(ValueError, match="shuffle"):
        loader.state = shuffled_loader(shuffle=False).state
    assert loader.state == before


@pytest.mark.parametrize("size", [0, -1, 2.0, "4", None, True])
def test_a_batch_size_out_of_range_is_refused_at_construction(size):
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1"):
        DataLoader(Y, size)


@pytest.mark.parametrize("dataset", [np.zeros((0, 3)), (), (np.zeros(0), np.zeros(0)), 5, None])
def test_an_empty_dataset_is_refused_at_construction(dataset):
    with pytest.raises(ValueError, match="first length of at least 1"):
        DataLoader(dataset, 2)


def test_arrays_of_unequal_length_are_refused_with_their_shapes():
    with pytest.raises(ValueError, match=r"\(10, 2\), \(9,\)"):
        DataLoader((X, Y[:9]), 2)


def test_a_loader_that_would_drop_everything_is_refused():
    with pytest.raises(ValueError, match="no batch"):
        DataLoader(Y, 11, drop_last=True)


def test_an_rng_of_another_type_is_refused():
    with pytest.raises(ValueError, match="rng must be a minigen Generator"):
        DataLoader(Y, 2, shuffle=True, rng=0)
