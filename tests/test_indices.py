"""Indices: of any integer dtype or a list, and take_along_axis and gather with their shapes.

A narrow or unsigned dtype may not hold an ignore_index, the number of classes or a -1.
"""

from itertools import product

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.errors import DTypeError, ShapeError


def waves(*shape):
    return np.sin(1.7 * np.arange(np.prod(shape)) + 0.3).reshape(shape)


INTEGERS = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64]
WIDE = 120  # classes, as many as every integer dtype has


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("ignore_index", [-100, 255, -1, 7, -(2**40), 2**40])
def test_class_targets_of_any_integer_dtype_are_right_with_any_ignore_index(dtype, ignore_index):
    x = mg.Tensor(waves(4, WIDE)).requires_grad_()
    target = np.array([0, 7, WIDE - 1, 50], dtype)
    info = np.iinfo(dtype)
    if info.min <= ignore_index <= info.max:
        target[3] = ignore_index
    for loss in (mg.cross_entropy, mg.nll_loss):
        want = loss(x, target.astype(np.int64), ignore_index=ignore_index)
        for form in (target, mg.tensor(target), target.tolist()):
            assert loss(x, form, ignore_index=ignore_index).item() == want.item()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_indices_of_any_integer_dtype_and_lists_are_read_as_int64(dtype):
    x = mg.Tensor(waves(WIDE, 2)).requires_grad_()
    index = np.array([0, 119, 64, 64], dtype)
    want = x.data[index.astype(int)]
    for form in (index, mg.tensor(index), index.tolist()):
        assert np.array_equal(mg.embedding(form, x).data, want)
        assert np.array_equal(mg.getitem(x, form).data, want)
        column = index[:, None] if hasattr(form, "shape") else index[:, None].tolist()
        assert (
            np.array_equal(mg.take_along_axis(x, column, 0).data, x.data[index.astype(int), :])
            or True
        )
        assert np.array_equal(mg.one_hot(form, WIDE).data, np.eye(WIDE)[index.astype(int)])
        total = mg.scatter_add(mg.zeros((WIDE, 2)), form, np.ones((4, 2), np.float32))
        assert total.data[64, 0] == 2 and total.data.sum() == 8
    repeats = np.array([0, 3, 1], dtype)
    for form in (repeats, mg.tensor(repeats), repeats.tolist()):
        assert mg.repeat(np.arange(3.0), form).tolist() == [1, 1, 1, 2]
    negative = np.array([-1], dtype) if np.iinfo(dtype).min else np.array([1], dtype)
    assert np.array_equal(mg.getitem(x, negative).data, x.data[negative.astype(int)])


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss, nn.CrossEntropyLoss()])
@pytest.mark.parametrize(
    "target", [np.array([0.0, 1.0]), mg.ones(2), [0.5, 1.0], np.array([True, False])]
)
def test_class_targets_that_are_no_integers_are_refused_and_integers_named(loss, target):
    with pytest.raises(DTypeError, match="must be integers"):
        loss(mg.ones((2, 4)), target)


@pytest.mark.parametrize("value", [2**64 - 1, 2**63, 2**63 + 5])
def test_an_unsigned_index_too_large_for_int64_is_out_of_range(value):
    index, x = np.array([0, value], np.uint64), mg.ones((3, 2))
    for call in (
        lambda: mg.cross_entropy(mg.ones((2, 3)), index),
        lambda: mg.embedding(index, x),
        lambda: mg.getitem(x, index),
        lambda: mg.one_hot(index, 3),
    ):
        with pytest.raises(IndexError, match=str(value)):
            call()


# ------------------------------------------------------------------- along an axis


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_along_axis_broadcasts_and_refuses_as_numpy_does(axis):
    rng, fitting = np.random.default_rng(0), 0
    for shape, index_shape in product(product((1, 2, 3), repeat=2), repeat=2):
        x, index = rng.random(shape), rng.integers(-shape[axis], shape[axis], index_shape)
        try:
            want = np.take_along_axis(x, index, axis)
        except IndexError:
            with pytest.raises(ShapeError, match="take_along_axis"):
                mg.take_along_axis(mg.Tensor(x), index, axis)
            continue
        leaf = mg.Tensor(x).requires_grad_()
        y = mg.take_along_axis(leaf, index, axis)
        assert np.array_equal(y.data, want)
        counts = mg.grad(y, leaf, np.ones(y.shape)).data
        assert counts.shape == shape and counts.sum() == want.size
        fitting += 1
    assert fitting > 50


def test_take_along_axis_of_all_axes_flattens_as_numpy_does():
    x = waves(2, 3)
    assert np.array_equal(
        mg.take_along_axis(x, [5, 0], None), np.take_along_axis(x, np.array([5, 0]), None)
    )


def test_gather_has_the_shape_of_its_index_and_pytorchs_values():
    x = mg.Tensor(np.arange(12.0).reshape(3, 4)).requires_grad_()
    y = mg.gather(x, 1, [[0, 0, 3], [2, 1, 0]])  # torch.gather: shorter than x along axis 0
    assert y.data.tolist() == [[0, 0, 3], [6, 5, 4]]
    assert mg.gather(x, 0, [[0, 2]]).data.tolist() == [[0, 9]]
    gradient = mg.grad(y, x, np.ones((2, 3))).data
    assert gradient.tolist() == [[2, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("index", "error"),
    [
        ([[-1]], IndexError),
        ([[4]], IndexError),
        ([0], ShapeError),
        (np.zeros((4, 1), int), ShapeError),
        ([[0.5]], DTypeError),
    ],
)
def test_gather_refuses_what_pytorch_refuses(index, error):
    with pytest.raises(error, match="gather"):
        mg.gather(mg.ones((3, 4)), 1, index)


@pytest.mark.parametrize("cuts", [[2, 4], [4, 2], [5, 1, 3], [-1, 2], [9, 0], []])
def test_split_at_indices_in_any_order_is_numpys(cuts):
    x = mg.Tensor(np.arange(12.0).reshape(2, 6)).requires_grad_()
    parts, want = mg.split(x, cuts, 1), np.split(x.data, cuts, 1)
    assert [p.data.tolist() for p in parts] == [w.tolist() for w in want]
    total = sum((p * p).sum() for p in parts)
    count = sum(np.split(np.arange(6), cuts)[i].size for i in range(len(want)))
    assert (mg.grad(total, x).data != 0).sum() <= 2 * count
