"""Counting, rounding, sorting: tensors of tensors, and gradients of the values that are sorted."""

from itertools import product
from math import inf, nan

import numpy as np
import pytest

import minigen as mg
from minigen.errors import ShapeError

X = np.array([[1.5, -2.0, 1.5], [-0.0, 3.5, 0.0]])
WITHOUT_DERIVATIVE = {
    "argmax": np.argmax,
    "argmin": np.argmin,
    "any": np.any,
    "all": np.all,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "argsort": lambda x: np.argsort(x, kind="stable"),
}


@pytest.mark.parametrize("name", WITHOUT_DERIVATIVE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, bool])
def test_what_has_no_derivative_is_a_tensor_of_a_tensor_and_raw_of_an_array(name, dtype):
    x = X.astype(dtype)
    if dtype is bool and name in ("floor", "ceil", "round"):  # not of booleans, in NumPy either
        return
    want = WITHOUT_DERIVATIVE[name](x)
    leaf = mg.Tensor(x)
    leaf = leaf.requires_grad_() if leaf.dtype.kind == "f" else leaf
    for y in (getattr(mg, name)(leaf), getattr(leaf, name)()):
        assert type(y) is mg.Tensor and not y.requires_grad
        assert y.dtype == want.dtype and np.array_equal(y.data, want)
    raw = getattr(mg, name)(x)
    assert not isinstance(raw, mg.Tensor) and np.array_equal(raw, want)


def test_results_without_derivative_work_where_people_use_them():
    x = mg.tensor([[1.0, 3.0, 2.0], [4.0, 0.0, 4.0]], requires_grad=True)
    assert mg.isfinite(x).all() and not mg.isnan(x).any()
    accuracy = (x.argmax(1) == np.array([1, 1])).mean()
    assert accuracy.item() == 0.5 and accuracy.dtype == np.float32
    best = x[np.arange(2), x.argmax(1)]
    assert best.data.tolist() == [3, 4]
    assert mg.grad(best.sum(), x).data.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert mg.one_hot(x.argmax(1), 3).shape == (2, 3)
    assert f"{x.argmax():d}" == "3" and [7, 8, 9, 10][x.argmax()] == 10


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sort_gives_values_and_stable_indices(axis, descending):
    x = np.random.default_rng(0).integers(0, 3, (6, 7)) * 0.5
    leaf = mg.Tensor(x).requires_grad_()
    values, index = mg.sort(leaf, axis, descending=descending)
    order = np.argsort(-x if descending else x, axis, kind="stable")
    assert np.array_equal(index.data, order) and index.dtype == np.int64
    assert np.array_equal(values.data, np.take_along_axis(x, order, axis))
    assert np.array_equal(mg.argsort(leaf, axis, descending).data, order)
    g = np.random.default_rng(1).standard_normal(x.shape)
    want = np.zeros_like(x)
    np.put_along_axis(want, order, g, axis)
    assert np.array_equal(mg.grad(values, leaf, g).data, want)


@pytest.mark.parametrize("largest", [True, False])
def test_topk_is_the_first_part_of_sort(largest):
    x = mg.Tensor(np.random.default_rng(0).integers(0, 4, (5, 6)) * 1.0)
    for axis, k in product((0, 1), (0, 1, 3, 5)):
        values, index = mg.topk(x, k, axis, largest=largest)
        all_values, all_indices = mg.sort(x, axis, descending=largest)
        part = (slice(None),) * axis + (slice(k),)
        assert np.array_equal(values.data, all_values.data[part])
        assert np.array_equal(index.data, all_indices.data[part])


def test_values_that_are_sorted_have_derivatives_of_second_order():
    x = mg.Tensor(np.array([3.0, -1.0, 2.0])).requires_grad_()
    values, _ = mg.sort(x)
    weighted = (values**3 * np.array([1.0, 10.0, 100.0])).sum()  # ranks: 3 is last, -1 first
    first = mg.grad(weighted, x, create_graph=True)
    assert first.data.tolist() == [2700, 3, 120]
    assert mg.grad(first.sum(), x).data.tolist() == [1800, -6, 120]
    top, _ = mg.topk(x * x, 2)
    first = mg.grad(top.sum(), x, create_graph=True)
    assert first.data.tolist() == [6, 0, 4]
    assert mg.grad(first.sum(), x).data.tolist() == [2, 0, 2]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nan_sorts_as_the_largest_value_as_in_numpy(dtype):
    x = np.array([nan, 1, inf, -inf, nan, -0.0, 0.0], dtype)
    values, index = mg.sort(mg.Tensor(x))
    assert np.array_equal(values.data, np.sort(x), equal_nan=True) and values.dtype == dtype
    assert index.data.tolist() == [3, 5, 6, 1, 2, 0, 4]
    values, index = mg.topk(mg.Tensor(x), 3)
    assert np.array_equal(values.data, [nan, nan, inf], equal_nan=True)
    assert index.data.tolist() == [0, 4, 2]


def test_sorting_integers_and_nothing_works():
    values, index = mg.sort(mg.tensor(np.array([3, 1, 2], np.uint8)), descending=True)
    assert values.data.tolist() == [3, 2, 1] and values.dtype == np.uint8
    values, index = mg.sort(mg.zeros((0, 3)), 0)
    assert values.shape == index.shape == (0, 3)
    raw_values, raw_index = mg.sort(np.array([2.0, 1.0]))
    assert type(raw_values) is type(raw_index) is np.ndarray


@pytest.mark.parametrize("name", ["sort", "argsort", "topk"])
def test_sorting_along_an_axis_that_is_not_there_is_refused(name):
    with pytest.raises(ShapeError, match="axis 2"):
        getattr(mg, name)(mg.ones((2, 2)), *((1, 2) if name == "topk" else (2,)))
