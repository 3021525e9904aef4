"""Data sets as one writes them for PyTorch: own classes, parts, batches of any structure."""

import json
from collections import namedtuple
from itertools import islice

import numpy as np
import pytest

import minigen as mg
from minigen.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split
from minigen.errors import DTypeError, ShapeError
from minigen.random import Generator

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


class Squares(Dataset):
    """A data set of one's own, whose attribute `data` is no array of examples."""

    def __init__(self, n=10):
        self.data, self.asked = np.zeros(3), []
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        return {"x": mg.tensor([i, i + 0.5]), "pair": (i, float(i**2)), "name": f"no. {i}"}


def test_a_data_set_of_ones_own_is_collated_in_its_structure():
    batches = list(DataLoader(Squares(), batch_size=4))
    assert [len(batch["name"]) for batch in batches] == [4, 4, 2]
    x, (i, square) = batches[0]["x"], batches[0]["pair"]
    assert type(x) is np.ndarray and (x.shape, x.dtype) == ((4, 2), np.float32)
    assert i.dtype == np.int64 and square.dtype == np.float32  # as mg.tensor makes them
    assert square.tolist() == [0, 1, 4, 9] and batches[2]["name"] == ["no. 8", "no. 9"]


class Bare:
    """No subclass of anything."""

    def __len__(self):
        return 6

    def __getitem__(self, i):
        if type(i) is not int:
            raise TypeError("indices are Python's integers")
        return np.full((2, 3), i, np.float64), np.uint8(i), i % 2 == 0


def test_dtypes_of_arrays_stay_and_every_example_is_asked_for_once():
    (x, small, even) = next(iter(DataLoader(Bare(), 6)))
    assert (x.dtype, small.dtype, even.dtype) == (np.float64, np.uint8, np.bool_)
    assert x.shape == (6, 2, 3)
    data = Squares()
    list(DataLoader(data, 3, shuffle=True, rng=Generator(1)))
    assert sorted(data.asked) == list(range(10)) != data.asked


@pytest.mark.parametrize(
    ("dataset", "first"),
    [
        (TensorDataset(X, Y), (X[:4], Y[:4])),
        (TensorDataset(mg.tensor(X), mg.tensor(Y)), (X[:4], Y[:4])),
        ([(x, int(y)) for x, y in zip(X, Y)], (X[:4], Y[:4])),
        (Subset((X, Y), [9, 1, 1, -1]), (X[[9, 1, 1, 9]], Y[[9, 1, 1, 9]])),
        (Subset(Subset(X, range(9, -1, -1)), [0, 2, 4, 6]), X[[9, 7, 5, 3]]),
        (ConcatDataset([TensorDataset(X[:3], Y[:3]), Subset((X, Y), [3, 4])]), (X[:4], Y[:4])),
        (mg.tensor(X), X[:4]),
        (range(10), Y[:4]),
        ([1, 2, 3, 4], np.arange(1, 5)),
    ],
    ids=range(9),
)
def test_every_kind_of_data_set_gives_raw_arrays(dataset, first):
    batch = next(iter(DataLoader(dataset, 4)))
    pairs = list(zip(batch, first)) if isinstance(first, tuple) else [(batch, first)]
    for got, expected in pairs:
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, expected)
        got += 1  # new arrays: the data set does not change
    np.testing.assert_array_equal(X, np.arange(20).reshape(10, 2))


def test_random_split_gives_disjoint_parts_that_cover_the_data_set():
    for lengths in ([7, 3], [0.7, 0.3], [4, 0, 6], [0.25, 0.25, 0.5], [1 / 3] * 3):
        parts = random_split((X, Y), lengths, rng=Generator(0))
        sizes = [len(part) for part in parts]
        assert sum(sizes) == 10 and len(parts) == len(lengths)
        assert sorted(int(y) for part in parts for _, y in part) == Y.tolist()
        if isinstance(lengths[0], int):
            assert sizes == lengths
    assert sizes == [4, 3, 3]  # as PyTorch's: what is left over goes to the first parts
    same = [[p.indices.tolist() for p in random_split(Y, [5, 5], Generator(3))] for _ in range(2)]
    assert same[0] == same[1] != [p.indices.tolist() for p in random_split(Y, [5, 5], Generator(4))]
    for wrong in ([7, 4], [0.5, 0.6], [-1, 11], [2.5, 7.5]):
        with pytest.raises(ValueError, match="must sum to 10"):
            random_split(Y, wrong)


def test_a_part_of_arrays_takes_the_fast_path_and_a_collate_fn_each_example():
    train, _ = random_split(TensorDataset(X, Y), [8, 2], Generator(0))
    loader = DataLoader(train, 3, shuffle=True, rng=Generator(1))
    x = np.concatenate([y for _, y in loader])
    assert sorted(x) == sorted(train.indices)
    padded = lambda examples: [len(examples), sum(int(y) for _, y in examples)]
    assert list(DataLoader((X, Y), 5, collate_fn=padded)) == [[5, 10], [5, 35]]
    assert list(DataLoader(Y, 5, collate_fn=sum)) == [10, 35]


@pytest.mark.parametrize(
    "dataset", [Squares(7), TensorDataset(X, Y), Subset(Squares(20), range(7))]
)
@pytest.mark.parametrize("done", range(4))
def test_any_data_set_is_resumed_after_any_batch(dataset, done):
    options = {"batch_size": 3, "shuffle": True}
    whole, saved = [], None
    loader = DataLoader(dataset, rng=Generator(1), **options)
    for _ in range(2):
        for batch in loader:
            whole.append(repr(batch))
            if len(whole) == done + 1:
                saved = json.loads(json.dumps(loader.state))
    resumed = DataLoader(dataset, rng=Generator(9), **options)
    resumed.state = saved
    rest = [repr(batch) for _ in range(2) for batch in resumed]
    assert rest[: len(whole) - done - 1] == whole[done + 1 :]


def test_options_of_pytorch_without_an_effect_say_so():
    with pytest.warns(UserWarning, match="num_workers and pin_memory change nothing here"):
        loader = DataLoader(Y, batch_size=5, num_workers=2)
    assert len(list(loader)) == 2
    with pytest.warns(UserWarning, match="pin_memory"):
        DataLoader(Y, batch_size=5, pin_memory=True)
    assert len(DataLoader(Y)) == 10  # one example each, as in PyTorch


def test_the_structure_of_examples_and_the_length_of_the_data_set_are_kept():
    Pair = namedtuple("Pair", "image label")
    batch = next(iter(DataLoader([Pair(x, int(y)) for x, y in zip(X, Y)], 4)))
    assert type(batch) is Pair and batch.label.tolist() == [0, 1, 2, 3]
    for dataset in ((X, Y), X, TensorDataset(X, Y), Squares(10), Subset(Y, range(10))):
        assert len(DataLoader(dataset, 4).dataset) == 10


class Ragged(Bare):
    def __getitem__(self, i):
        return np.zeros(i)


class NoLength:
    def __getitem__(self, i):
        return i


@pytest.mark.parametrize(
    ("dataset", "error", "says"),
    [
        (Ragged(), ShapeError, "one shape (make them equal in the data set, or pass collate_fn)"),
        ([(1, 2), (1, 2, 3)], ShapeError, "got lengths [2, 3]"),
        ([{"a": None}, {"a": None}], DTypeError, "got NoneType; convert it"),
        (Squares(0), ValueError, "first length of at least 1"),
        (NoLength(), ValueError, "must have __len__ and __getitem__"),
        ((i for i in range(3)), ValueError, "or have __len__ and __getitem__"),
        (Dataset(), NotImplementedError, "Dataset must define __len__"),
    ],
    ids=range(7),
)
def test_data_sets_that_give_no_batch_are_refused_with_a_remedy(dataset, error, says):
    with pytest.raises(error) as caught:
        list(DataLoader(dataset, 4))
    assert says in str(caught.value)


def test_parts_and_pairs_that_do_not_fit_are_refused():
    for wrong in ((), (X, Y[:9]), (np.float32(1),)):
        with pytest.raises(ShapeError, match="one first length"):
            TensorDataset(*wrong)
    with pytest.raises(IndexError, match="indices of 10 examples"):
        Subset(Y, [0, 10])
    with pytest.raises(IndexError):
        ConcatDataset([Y])[10]
    assert ConcatDataset([Y[:4], Y[4:]])[-1] == 9
    assert [len(Squares(4) + Squares(3)), (Squares(4) + Squares(3))[5]["name"]] == [7, "no. 1"]
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])
    assert len(list(islice(DataLoader(Squares(), 4, shuffle=True, rng=Generator(0)), 2))) == 2
