"""Numbers that compare samples with data."""

import numpy as np
import pytest
from scipy import linalg

from minigen.errors import ShapeError
from minigen.metrics import frechet_distance


def test_the_frechet_distance_is_that_of_the_matrix_square_root():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)), rng.normal(0.3, 2, size=(70, 6)) @ rng.normal(size=(6, 6))
    cx, cy = np.cov(x.T), np.cov(y.T)
    gap = np.square(x.mean(0) - y.mean(0)).sum()
    want = gap + np.trace(cx + cy - 2 * linalg.sqrtm(cx @ cy).real)
    assert frechet_distance(x, y) == pytest.approx(want, rel=1e-10)
    assert frechet_distance(y, x) == pytest.approx(want, rel=1e-10)


def test_the_frechet_distance_to_itself_is_zero_and_to_a_moved_copy_the_squared_move():
    x = np.random.default_rng(1).normal(size=(40, 3))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(x, x + [3.0, 0.0, 4.0]) == pytest.approx(25)


def test_a_feature_that_never_varies_does_no_harm():
    x = np.random.default_rng(2).normal(size=(40, 3)) * [1.0, 0.0, 1.0]
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("shapes", [((5,), (5,)), ((5, 2), (5, 3)), ((1, 2), (5, 2))])
def test_features_that_do_not_fit_are_refused_with_their_shapes(shapes):
    with pytest.raises(ShapeError, match="frechet_distance: x and y must be"):
        frechet_distance(*map(np.zeros, shapes))
