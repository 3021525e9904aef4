"""Ties, edges and infinities: the table "Conventions" of the numerics, one test a case.

The statements are PyTorch's, checked against it. Each test has 2 for its cotangent, never 1.
"""

from math import inf, nan

import numpy as np
import pytest

import minigen as mg
from minigen.errors import ShapeError
from minigen.testing import assert_close
from minigen.testing.closeness import GRADIENT

pytestmark = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])


def check(dtype, f, args, value, *gradients):
    """f(*args) has that value, and its gradient for argument i is gradients[i]."""
    xs = [mg.tensor(np.array(a, dtype), requires_grad=True) for a in args]
    with np.errstate(all="ignore"):  # NumPy's warnings at poles are not the subject here
        y = f(*xs)
    assert_close(y, np.array(value, dtype))
    found = mg.grad(y, xs, np.full(y.shape, 2, dtype))
    assert len(found) == len(gradients)
    for g, want in zip(found, gradients):
        assert_close(g, 2 * np.array(want, dtype), GRADIENT[np.dtype(dtype)], "gradient")


# --------------------------------------------------------------------------------- kinks


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("name", ["relu", "abs", "sign"])
def test_relu_abs_and_sign_have_gradient_0_at_0(dtype, name, zero):
    check(dtype, getattr(mg, name), [[zero]], [0], [0])


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_leaky_relu_has_its_negative_slope_at_0(dtype, zero):
    check(dtype, mg.leaky_relu, [[zero]], [0], [0.01])
    check(dtype, lambda x: mg.leaky_relu(x, 0.3), [[zero]], [0], [0.3])


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_elu_has_gradient_1_at_0(dtype, zero):
    check(dtype, mg.elu, [[zero]], [0], [1])


def test_clip_has_gradient_1_at_its_bounds(dtype):
    x = [-2, -1, 0, 1, 2]
    check(dtype, lambda x: mg.clip(x, -1, 1), [x], [-1, -1, 0, 1, 1], [0, 1, 1, 1, 0])
    check(dtype, lambda x: mg.clip(x, -1), [x], [-1, -1, 0, 1, 2], [0, 1, 1, 1, 1])
    check(dtype, lambda x: mg.clip(x, max=1), [x], [-2, -1, 0, 1, 1], [1, 1, 1, 1, 0])


# ---------------------------------------------------------------------------------- ties


def test_maximum_gives_half_to_each_at_a_tie(dtype):
    check(dtype, mg.maximum, [[1, 2, 3], [1, 3, 2]], [1, 3, 3], [0.5, 0, 1], [0.5, 1, 0])


def test_minimum_gives_half_to_each_at_a_tie(dtype):
    check(dtype, mg.minimum, [[1, 2, 3], [1, 3, 2]], [1, 2, 2], [0.5, 1, 0], [0.5, 0, 1])


@pytest.mark.parametrize("f", [mg.maximum, mg.minimum], ids=["maximum", "minimum"])
def test_maximum_and_minimum_of_x_and_x_have_gradient_1(dtype, f):
    check(dtype, lambda x: f(x, x), [[1, -2, 0]], [1, -2, 0], [1, 1, 1])


THIRD = 1 / 3


@pytest.mark.parametrize(
    ("axis", "value", "gradient"),
    [
        (None, 3, [[0, THIRD, THIRD], [THIRD, 0, 0]]),
        ((0, 1), 3, [[0, THIRD, THIRD], [THIRD, 0, 0]]),
        (1, [3, 3], [[0, 0.5, 0.5], [1, 0, 0]]),
        (-2, [3, 3, 3], [[0, 1, 1], [1, 0, 0]]),
        ((), [[1, 3, 3], [3, 0, 1]], [[1, 1, 1], [1, 1, 1]]),
    ],
)
def test_max_and_min_split_a_tie_evenly_over_whatever_axes(dtype, axis, value, gradient):
    x = np.array([[1, 3, 3], [3, 0, 1]])
    check(dtype, lambda x: mg.max(x, axis), [x], value, gradient)
    check(dtype, lambda x: mg.min(x, axis), [-x], np.negative(value), gradient)


def test_argmax_and_argmin_take_the_first_index_of_a_tie(dtype):
    x = np.array([[1, 3, 3], [0, 3, 0]], dtype)
    for form in np.asarray, mg.tensor:
        assert mg.argmax(form(x)) == 1
        assert mg.argmin(form(x)) == 3
        assert np.array_equal(mg.argmax(form(x), 1), [1, 1])
        assert np.array_equal(mg.argmin(form(x), 1), [0, 0])
        assert np.array_equal(mg.argmax(form(x), 0), [0, 0, 0])


# ----------------------------------------------------------------------------------- NaN


@pytest.mark.parametrize("axis", [None, 0])
def test_max_and_min_with_a_nan_are_nan_and_so_is_the_gradient(dtype, axis):
    for f in (mg.max, mg.min):
        check(dtype, lambda x, f=f: f(x, axis), [[1, nan, 3]], nan, [nan, nan, nan])


def test_relu_of_nan_is_nan(dtype):
    check(dtype, mg.relu, [[nan, 1, -1]], [nan, 1, 0], [1, 1, 0])


# --------------------------------------------------------------------- poles and powers


def test_sqrt_has_an_infinite_gradient_with_its_sign_at_0(dtype):
    check(dtype, mg.sqrt, [[0.0, -0.0, 4]], [0, 0, 2], [inf, -inf, 0.25])


def test_log_has_an_infinite_gradient_with_its_sign_at_0(dtype):
    check(dtype, mg.log, [[0.0, -0.0, 1]], [-inf, -inf, 0], [inf, -inf, 1])


@pytest.mark.parametrize("f", [mg.reciprocal, lambda x: 1 / x, lambda x: mg.power(x, -1)])
def test_one_over_x_has_an_infinite_gradient_with_its_sign_at_0(dtype, f):
    check(dtype, f, [[0.0, 2]], [inf, 0.5], [-inf, -0.25])


def test_a_quotient_has_infinite_gradients_with_their_signs_at_0(dtype):
    args = [[1, -1, 0], [0.0, 0.0, 0.0]]
    check(dtype, mg.divide, args, [inf, -inf, nan], [inf, inf, inf], [-inf, inf, nan])


@pytest.mark.parametrize("zero", [0, 0.0])
def test_x_to_the_power_0_is_1_with_gradient_0_at_0(dtype, zero):
    check(dtype, lambda x: x**zero, [[0, 1, -2]], [1, 1, 1], [0, 0, 0])


def test_0_to_the_power_of_a_tensor_0_is_1_with_gradient_0_for_both(dtype):
    check(dtype, mg.power, [[0], [0]], [1], [0], [0])


def test_power_of_a_negative_base_has_a_nan_gradient_for_its_exponent(dtype):
    check(dtype, mg.power, [[-1, -1], [2, 3]], [1, -1], [-2, 3], [nan, nan])


def test_power_of_0_has_gradient_0_for_its_exponent(dtype):
    check(dtype, mg.power, [[0], [2]], [0], [0], [0])
    check(dtype, lambda y: 0.0**y, [[2, 1]], [0, 0], [0, 0])


# ---------------------------------------------------------------------------- reductions


def test_std_of_one_element_with_ddof_1_is_nan(dtype):
    for f in (mg.std, mg.var):
        check(dtype, lambda x, f=f: f(x, ddof=1), [[3]], nan, [nan])


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("count", [2, 7, 49, 103])
def test_std_of_a_constant_is_0_with_gradient_0(dtype, count, ddof):
    x = np.full(count, 3)
    check(dtype, lambda x: mg.std(x, ddof=ddof), [x], 0, 0 * x)


@pytest.mark.parametrize("order", [1, 2, 3, inf])
def test_norm_of_0_is_0_with_gradient_0(dtype, order):
    check(dtype, lambda x: mg.norm(x, order), [[0, 0, 0]], 0, [0, 0, 0])
    x = [[0, 0], [3, 0]]
    check(dtype, lambda x: mg.norm(x, order, axis=1), [x], [0, 3], [[0, 0], [1, 0]])


def test_prod_with_one_zero_has_the_product_of_the_others_as_its_gradient(dtype):
    check(dtype, mg.prod, [[0, 2, 3]], 0, [6, 0, 0])
    x = [[2, 0, 3], [1, 2, 3]]
    check(dtype, lambda x: mg.prod(x, 1), [x], [0, 6], [[0, 6, 0], [6, 3, 2]])


def test_prod_with_two_zeros_has_gradient_0(dtype):
    check(dtype, mg.prod, [[0, 2, 0]], 0, [0, 0, 0])


def test_logsumexp_of_all_minus_infinity_is_that_with_gradient_nan(dtype):
    check(dtype, mg.logsumexp, [[-inf, -inf]], -inf, [nan, nan])
    x = [[-inf, -inf], [1, -inf]]
    check(dtype, lambda x: mg.logsumexp(x, 1), [x], [-inf, 1], [[nan, nan], [1, 0]])


@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((0, 3), 0), ((2, 0), -1)])
def test_mean_of_nothing_is_nan_with_an_empty_gradient(dtype, shape, axis):
    x = np.zeros(shape)
    check(dtype, lambda x: mg.mean(x, axis), [x], np.full(x.sum(axis).shape, nan), x)


@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((0, 3), 0), ((2, 0), -1)])
def test_sum_of_nothing_is_0_with_an_empty_gradient(dtype, shape, axis):
    x = np.zeros(shape)
    check(dtype, lambda x: mg.sum(x, axis), [x], x.sum(axis), x)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((0, 3), 0), ((2, 0), -1)])
def test_max_of_nothing_is_an_error_that_names_op_axis_and_shape(dtype, name, shape, axis):
    for form in (np.asarray, mg.tensor):
        with pytest.raises(ShapeError, match=f"{name} of nothing: axis {axis}") as caught:
            getattr(mg, name)(form(np.zeros(shape, dtype)), axis)
        assert str(shape) in str(caught.value)


def test_max_over_an_axis_with_values_of_an_empty_array_is_empty(dtype):
    x = np.zeros((0, 3))
    check(dtype, lambda x: mg.max(x, 1), [x], np.zeros(0), x)


# ------------------------------------------------------------------------------- softmax


def test_softmax_of_all_minus_infinity_is_nan(dtype):
    check(dtype, mg.softmax, [[-inf, -inf]], [nan, nan], [nan, nan])


def test_softmax_of_1000_and_0_is_exact(dtype):
    check(dtype, lambda x: mg.softmax(x)[0], [[1000, 0]], 1, [0, 0])
    check(dtype, lambda x: mg.log_softmax(x)[1], [[1000, 0]], -1000, [-1, 1])


@pytest.mark.parametrize("f", [mg.softmax, mg.log_softmax], ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_softmax_of_nothing_has_its_shape(dtype, f, axis, shape):
    check(dtype, lambda x: f(x, axis), [np.zeros(shape)], np.zeros(shape), np.zeros(shape))


# ---------------------------------------------------------------- far from 0, yet exact


def test_sigmoid_of_plus_and_minus_1000_is_exact(dtype):
    check(dtype, mg.sigmoid, [[1000, -1000, 0]], [1, 0, 0.5], [0, 0, 0.25])


def test_softplus_of_plus_and_minus_1000_is_exact(dtype):
    check(dtype, mg.softplus, [[1000, -1000, 0]], [1000, 0, np.log(2)], [1, 0, 0.5])


def test_log_sigmoid_of_plus_and_minus_1000_is_exact(dtype):
    check(dtype, mg.log_sigmoid, [[1000, -1000, 0]], [0, -1000, -np.log(2)], [0, 1, 0.5])


@pytest.mark.parametrize(
    ("target", "value", "gradient"),
    [(0, [1000, 0, np.log(2)], [1, 0, 0.5]), (1, [0, 1000, np.log(2)], [0, -1, -0.5])],
)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "pos_weight"])
def test_bce_with_logits_of_1000_is_exact(dtype, target, value, gradient, weighted):
    t, w = np.full(3, target, dtype), np.full(3, 1.0, dtype) if weighted else None

    def loss(x):
        return mg.binary_cross_entropy_with_logits(x, t, pos_weight=w, reduction="none")

    check(dtype, loss, [[1000, -1000, 0]], value, gradient)


def test_sigmoid_keeps_its_relative_accuracy_in_the_tail(dtype):
    x = np.array([-80, -50, -20], dtype)
    assert np.allclose(mg.sigmoid(x), np.exp(x), rtol=1e-5, atol=0)


# --------------------------------------------------------------------- targets and indices


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_with_every_target_ignored_is_nan_with_gradient_0(dtype, smoothing):
    target = np.array([-100, -100])
    x, zero = [[1, 2], [3, 4]], np.zeros((2, 2))
    for loss in (
        lambda x: mg.cross_entropy(x, target, label_smoothing=smoothing),
        lambda x: mg.nll_loss(x, target),
    ):
        check(dtype, loss, [x], nan, zero)
    check(dtype, lambda x: mg.cross_entropy(x, target, reduction="sum"), [x], 0, zero)


def test_duplicate_indices_in_getitem_add_their_gradients(dtype):
    index = np.array([0, 2, 0, -1])
    check(dtype, lambda x: x[index], [[5, 6, 7]], [5, 7, 5, 7], [2, 0, 2])


def test_duplicate_indices_in_take_along_axis_add_their_gradients(dtype):
    index = np.array([[0, 0, 1]])
    check(dtype, lambda x: mg.take_along_axis(x, index, 1), [[[5, 6, 7]]], [[5, 5, 6]], [[2, 1, 0]])


def test_duplicate_indices_in_embedding_add_their_gradients(dtype):
    index, weight = np.array([1, 1, 0]), [[1, 2], [3, 4]]
    value = [[3, 4], [3, 4], [1, 2]]
    check(dtype, lambda w: mg.embedding(index, w), [weight], value, [[1, 1], [2, 2]])
