"""The Frechet distance and confidence intervals, against SciPy."""

import numpy as np
import pytest
from scipy import linalg, stats

from minigen.errors import ShapeError
from minigen.training.metrics import frechet_distance, mean_interval, near_copies, precision_recall


def test_the_frechet_distance_equals_the_formula_with_a_matrix_square_root():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)), rng.normal(0.3, 2, size=(70, 6)) @ rng.normal(size=(6, 6))
    cx, cy = np.cov(x.T), np.cov(y.T)
    gap = np.square(x.mean(0) - y.mean(0)).sum()
    want = gap + np.trace(cx + cy - 2 * linalg.sqrtm(cx @ cy).real)
    assert frechet_distance(x, y) == pytest.approx(want, rel=1e-10)
    assert frechet_distance(y, x) == pytest.approx(want, rel=1e-10)


def test_the_frechet_distance_of_a_shifted_copy_is_the_squared_shift():
    x = np.random.default_rng(1).normal(size=(40, 3))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(x, x + [3.0, 0.0, 4.0]) == pytest.approx(25)


def test_a_constant_feature_gives_a_finite_distance():
    x = np.random.default_rng(2).normal(size=(40, 3)) * [1.0, 0.0, 1.0]
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("shapes", [((5,), (5,)), ((5, 2), (5, 3)), ((1, 2), (5, 2))])
def test_features_that_do_not_fit_are_refused_with_their_shapes(shapes):
    with pytest.raises(ShapeError, match="frechet_distance: x and y must be"):
        frechet_distance(*map(np.zeros, shapes))


@pytest.mark.parametrize("n", range(2, 11))
def test_the_interval_of_a_mean_equals_scipys_t_interval(n):
    values = np.random.default_rng(n).normal(90, 3, n)
    mean, half_width = mean_interval(values)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean == pytest.approx(values.mean(), rel=1e-14)
    assert half_width == pytest.approx((high - low) / 2, rel=2e-4)  # the table has four digits


def test_the_interval_covers_the_true_mean_19_times_in_20():
    samples = np.random.default_rng(0).normal(3, 2, (4000, 5))
    hits = [abs(mean - 3) <= half_width for mean, half_width in map(mean_interval, samples)]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


@pytest.mark.parametrize("values", [[], [1.0], [0.0] * 11, [[1.0, 2.0]]])
def test_too_few_or_too_many_values_are_refused(values):
    with pytest.raises(ShapeError, match="values must be 2 to 10 numbers"):
        mean_interval(values)


def test_precision_and_recall_follow_their_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(40, 4)) + 0.5

    def share(points, manifold, k):
        radii = [sorted(np.linalg.norm(manifold - m, axis=1))[k] for m in manifold]
        near = lambda p: any(np.linalg.norm(p - m) <= r for m, r in zip(manifold, radii))
        return sum(map(near, points)) / len(points)

    for k in (1, 3):
        assert precision_recall(x, y, k) == pytest.approx((share(x, y, k), share(y, x, k)))
    assert precision_recall(y, y) == (1.0, 1.0)
    assert precision_recall(y + 100, y) == (0.0, 0.0)
    two_modes = np.concatenate([y, y + 100])
    assert precision_recall(y, two_modes) == (1.0, 0.5)
    assert precision_recall(two_modes, y) == (0.5, 1.0)
    with pytest.raises(ShapeError, match="more than 3 rows"):
        precision_recall(x[:3], y)
    with pytest.raises(ShapeError, match="precision_recall"):
        precision_recall(x[:, :2], y)


def test_copies_are_told_from_images_that_are_all_alike():
    rng = np.random.default_rng(0)
    training = rng.random((300, 5, 5))
    new = rng.random((40, 5, 5))
    copies = training[:10] + 0.01 * rng.normal(size=(10, 5, 5))
    assert near_copies(new, training) == 0
    assert near_copies(copies, training) == 1
    assert near_copies(np.concatenate([new, copies]), training) == pytest.approx(0.2)
    alike = lambda n: 0.5 + 0.01 * rng.random((n, 5, 5))  # near to all, not to one
    assert near_copies(alike(40), alike(300)) == 0
    with pytest.raises(ShapeError, match="at least 50 training images"):
        near_copies(new, training[:49])
