"""Pooling: ties and NaN as PyTorch's, adjoints (property 22), edges and bad input."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.errors import ShapeError
from minigen.testing import assert_close

rng = np.random.default_rng(0)
nan, inf = math.nan, math.inf


def image(*rows):
    return mg.tensor(np.array([[rows]], np.float64), requires_grad=True)


@pytest.mark.parametrize(
    ("rows", "largest", "gradient"),
    [
        ([[2, 2], [2, 2]], 2, [[1, 0], [0, 0]]),
        ([[1, 3], [3, 0]], 3, [[0, 1], [0, 0]]),
        ([[0.0, -0.0], [-0.0, 0.0]], 0, [[1, 0], [0, 0]]),
        ([[1, nan], [3, inf]], nan, [[0, 1], [0, 0]]),
        ([[1, nan], [nan, 3]], nan, [[0, 0], [1, 0]]),  # the last NaN, as PyTorch's
        ([[-inf, -inf], [-inf, -inf]], -inf, [[1, 0], [0, 0]]),
    ],
)
def test_max_pool_gives_the_gradient_to_the_first_of_a_tie(rows, largest, gradient):
    for create_graph in (False, True):
        x = image(*rows)
        y = mg.max_pool2d(x, 2)
        assert np.array_equal(y.data, [[[[largest]]]], equal_nan=True)
        g = mg.grad(y, x, np.ones(y.shape), create_graph=create_graph)
        assert np.array_equal(g.data, [[gradient]])


def test_max_pool_never_picks_its_padding():
    x = -1 - np.abs(rng.standard_normal((2, 3, 4, 5)))
    assert (mg.max_pool2d(x, 3, 2, 1) < 0).all()
    assert (mg.max_pool1d(x[0], 2, 1, 1) < 0).all()


def test_overlapping_maxima_add_their_gradients():
    x = image([0, 9, 0], [0, 0, 0])
    mg.max_pool2d(x, 2, 1).sum().backward()
    assert np.array_equal(x.grad.data, [[[[0, 2, 0], [0, 0, 0]]]])


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        (lambda x: mg.avg_pool2d(x, (3, 2), (1, 2), 1), (2, 2, 5, 6)),
        (lambda x: mg.avg_pool2d(x, 2, 3), (2, 2, 7, 6)),
        (lambda x: mg.adaptive_avg_pool2d(x, (3, 4)), (2, 2, 7, 5)),
        (lambda x: mg.interpolate(x, (2, 3)), (2, 2, 3, 2)),
    ],
)
def test_linear_pools_and_their_gradients_are_adjoint(pool, shape):
    """<pool(x), y> = <x, pool'(y)>, and pooling with a graph of the gradient gives pool back."""
    x = rng.standard_normal(shape)
    y = rng.standard_normal(pool(x).shape)
    tracked, seed = (mg.tensor(a, requires_grad=True) for a in (x, y))
    back = mg.grad(pool(tracked), tracked, seed, create_graph=True)
    assert_close((x * back.data).sum(), (pool(x) * y).sum())
    assert_close(mg.grad(back, seed, x), pool(x))


def test_windows_of_adaptive_pooling_overlap_where_sides_do_not_divide():
    x = np.arange(5.0).reshape(1, 1, 1, 5)
    assert np.array_equal(mg.adaptive_avg_pool2d(x, (1, 3))[0, 0, 0], [0.5, 2.0, 3.5])
    assert np.array_equal(mg.adaptive_avg_pool2d(x, (None, 2))[0, 0, 0], [1.0, 3.0])
    assert np.array_equal(mg.adaptive_avg_pool2d(x, (1, 10))[0, 0, 0], np.repeat(np.arange(5.0), 2))


def test_nan_stays_where_its_windows_are():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = nan
    for y in (mg.avg_pool2d(x, 2), mg.adaptive_avg_pool2d(x, 2), mg.max_pool2d(x, 2)):
        assert np.isnan(y).tolist() == [[[[True, False], [False, False]]]]


@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (2, 0, 4, 4)])
def test_empty_batches_and_no_channels_give_empty_results(shape):
    for pool in (mg.max_pool2d, mg.avg_pool2d, mg.interpolate, mg.adaptive_avg_pool2d):
        x = mg.tensor(np.zeros(shape), requires_grad=True)
        y = pool(x, 2)
        y.sum().backward()
        assert y.shape[:2] == shape[:2] and x.grad.shape == shape


x = np.ones((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: mg.max_pool2d(x[0], 2), ShapeError, r"max_pool2d: x must be \(N, C, H, W\)"),
        (lambda: mg.max_pool1d(x, 2), ShapeError, r"max_pool1d: x must be \(N, C, L\)"),
        (lambda: mg.max_pool2d(x, 0), ValueError, "max_pool2d: kernel_size must be"),
        (lambda: mg.max_pool2d(x, 2, 0), ValueError, "max_pool2d: stride must be"),
        (lambda: mg.avg_pool2d(x, 3, 1, 2), ValueError, r"avg_pool2d: padding=\(2, 2\) must be at"),
        (
            lambda: mg.avg_pool2d(x, 6),
            ShapeError,
            r"avg_pool2d: a window of \(6, 6\) finds no room",
        ),
        (lambda: mg.max_pool1d(x[0], 6), ShapeError, r"max_pool1d: a window of \(6,\) finds no"),
        (lambda: mg.adaptive_avg_pool2d(x, 0), ValueError, "adaptive_avg_pool2d: output_size"),
        (lambda: mg.interpolate(x, "two"), ValueError, "interpolate: scale_factor must be a num"),
        (lambda: mg.interpolate(x, -1.5), ValueError, "interpolate: scale_factor must be a number"),
        (lambda: mg.interpolate(x[0], 2), ShapeError, "interpolate: x must be"),
    ],
)
def test_bad_input_is_named_with_the_remedy(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_nan_stays_where_it_is_and_integers_stay_integers():
    row = np.array([[[[1.0, np.nan, 2.0, 3.0]]]])
    y = mg.interpolate(row, (1.0, 1.5))
    np.testing.assert_array_equal(y, [[[[1, 1, np.nan, 2, 2, 3]]]])
    whole = np.arange(9).reshape(1, 1, 3, 3)
    assert mg.interpolate(whole, size=2).tolist() == [[[[0, 1], [3, 4]]]]
    assert mg.max_pool2d(whole, 2, ceil_mode=True).tolist() == [[[[4, 5], [7, 8]]]]
