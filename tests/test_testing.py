"""The public tools of `minigen.testing`: that they accept what is right and fail on the rest."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given

import minigen as mg
from minigen.autodiff.primitives import primitive
from minigen.testing import (
    GradcheckError,
    assert_close,
    broadcastable_shapes,
    complex_step_jvp,
    gradcheck,
    layouts,
    numerical_jvp,
    op_cases,
    shapes,
    tensors,
)
from minigen.testing.memory import LAYOUTS, in_layout

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])


# ------------------------------------------------------------------------ assert_close


def test_assert_close_measures_against_the_largest_value():
    want = np.array([1000.0, 1.0])
    assert_close(want + 1e-10, want)
    with pytest.raises(AssertionError, match="error 1e-11"):
        assert_close(want + [0, 1e-8], want)


def test_assert_close_accepts_special_values_in_the_same_places():
    x = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert_close(x, x.copy())
    assert_close(np.zeros((0, 3)), np.zeros((0, 3)))


@pytest.mark.parametrize(
    ("got", "want", "message"),
    [
        (np.zeros(3), np.zeros((3, 1)), "shape"),
        (np.zeros(3, np.float32), np.zeros(3), "dtype"),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), r"worst at index \(1,\)"),
        (np.array([1.0, 2.0]), np.array([1.0, np.nan]), r"worst at index \(1,\)"),
        (np.array([np.inf]), np.array([-np.inf]), "inf"),
        (np.array([np.inf]), np.array([1.0]), "inf"),
        (np.array([1, 2]), np.array([1, 3]), "got"),
        (np.array([True]), np.array([False]), "got"),
        (np.array([[0.0, 5.0]]), np.array([[0.0, 5.5]]), r"\(0, 1\): got .*5.0.*5.5"),
    ],
)
def test_assert_close_fails_with_what_differs(got, want, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(got, want)


def test_assert_close_takes_tensors_a_limit_and_a_name():
    assert_close(mg.tensor(X + 1e-3), mg.tensor(X), 1e-2)
    with pytest.raises(AssertionError, match="loss: error"):
        assert_close(X + 1e-3, X, name="loss")
    assert_close(np.float32(1) + np.float32(1e-6), np.float32(1))


# --------------------------------------------------------------- numerical derivatives


@pytest.mark.parametrize("jvp", [numerical_jvp, complex_step_jvp])
def test_numerical_derivatives_are_accurate(jvp):
    u = np.array([[1.0, -0.5, 0.25], [0.0, 1.0, 1.0]])
    assert_close(jvp(np.exp, [X], [u]), np.exp(X) * u, 1e-11)
    one, two = jvp(lambda x, y: (x * y, np.sin(y).sum()), [X, u], [u, X])
    assert_close(one, u * u + X * X, 1e-11)
    assert_close(two, np.asarray((np.cos(u) * X).sum()), 1e-11)


def test_numerical_jvp_comes_near_a_singularity():
    x, u = np.array([0.05, 0.2]), np.ones(2)
    assert_close(numerical_jvp(np.log, [x], [u]), 1 / x, 1e-9)
    assert numerical_jvp(np.log, [np.zeros((0, 2))], [np.zeros((0, 2))]).shape == (0, 2)


def test_numerical_jvp_does_not_write_its_inputs():
    x, u = X.copy(), np.ones_like(X)
    numerical_jvp(lambda x: x * x, [x], [u])
    assert np.array_equal(x, X) and np.array_equal(u, np.ones_like(X))


# --------------------------------------------------------------------------- gradcheck


def test_gradcheck_accepts_functions_of_many_kinds():
    gradcheck(lambda x: mg.tanh(x).sum(), X)
    gradcheck(lambda x: mg.tanh(x), mg.tensor(X, requires_grad=True), order=3)
    gradcheck(lambda x, y: (x @ y, mg.exp(x)), [X, X.T])
    gradcheck(lambda x, i: mg.getitem(x, i), [X, np.array([1, 0, 1])])
    gradcheck(lambda x: (x, mg.argmax(x), mg.astype(x, np.int64)) and x * 2.0, X)
    gradcheck(lambda x: mg.split(x, 3, axis=1), X)
    gradcheck(lambda x, y: x * 1.0, [X, X])  # y is not used
    gradcheck(mg.sum, np.zeros((0, 3)))
    gradcheck(mg.exp, np.float32(0.5))


def broken(rule):
    """x * x with the given rule."""

    @primitive(rule, saves="x")
    def broken_square(x):
        return x * x

    return broken_square


@pytest.mark.parametrize(
    "rule",
    [
        lambda g, y, x: g * x,
        lambda g, y, x: -2.0 * g * x,
        lambda g, y, x: 0.0 * g,
        lambda g, y, x: 2.002 * g * x,
        lambda g, y, x: g * 2.0 * mg.sum(x),
    ],
)
@pytest.mark.parametrize("explain", [False, True])
def test_gradcheck_rejects_a_wrong_rule(rule, explain):
    with pytest.raises(GradcheckError, match="order 1"):
        gradcheck(broken(rule), X, explain=explain)


def test_gradcheck_rejects_a_derivative_that_is_missing_at_order_2():
    f = broken(lambda g, y, x: g * (2.0 * np.array(getattr(x, "data", x))))
    gradcheck(f, X, order=1)
    with pytest.raises(GradcheckError, match="order 2"):
        gradcheck(f, X)


def test_gradcheck_rejects_a_detached_part():
    with pytest.raises(GradcheckError, match="argument 0"):
        gradcheck(lambda x: x * x.detach(), X)
    with pytest.raises(GradcheckError, match="argument 0"):
        gradcheck(lambda x: x.detach(), X)


def test_gradcheck_rejects_a_gradient_that_differs_when_its_graph_is_recorded():
    f = broken(lambda g, y, x: g * x * (2.0 if isinstance(g, np.ndarray) else 3.0))
    with pytest.raises(GradcheckError, match="when its graph is recorded"):
        gradcheck(f, X)


def test_gradcheck_names_the_argument_and_both_numbers():
    def f(a, i, b):
        return a * b.detach()

    with pytest.raises(GradcheckError, match=r"argument 2 .*wrong: .*by its rules.*by differences"):
        gradcheck(f, [X, np.array([1]), X])


def test_gradcheck_does_not_pass_where_there_is_nothing_to_check():
    with pytest.raises(GradcheckError, match="nothing was checked"):
        gradcheck(lambda i: i, np.array([1, 2]))


def test_gradcheck_is_deterministic_and_leaves_the_global_generator_alone():
    state = np.random.get_state()[1].copy()
    with pytest.raises(GradcheckError) as first:
        gradcheck(lambda x: x * x.detach(), X)
    with pytest.raises(GradcheckError) as second:
        gradcheck(lambda x: x * x.detach(), X)
    assert str(first.value) == str(second.value)
    assert np.array_equal(state, np.random.get_state()[1])


def test_gradcheck_leaves_tensors_without_gradient():
    x = mg.tensor(X, requires_grad=True)
    gradcheck(mg.sin, x)
    assert x.grad is None


# -------------------------------------------------------------------------- strategies


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0), (2, 3, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_a_layout_keeps_the_values(layout, shape, dtype):
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    y = in_layout(x, layout)
    want = np.broadcast_to(x[:1], shape) if layout == "stride 0" and x.ndim and x.size else x
    assert y.dtype == x.dtype and np.array_equal(y, want) and not np.shares_memory(x, y)


def test_the_layouts_are_what_they_say():
    strides = {layout: in_layout(X, layout).strides for layout in LAYOUTS}
    assert strides["contiguous"] == (24, 8) and strides["fortran"] == (8, 16)
    assert strides["reversed"] == (-24, -8) and strides["stepped"] == (216, 24)
    assert strides["stride 0"][0] == 0 and strides["transposed"] == (8, 16)
    assert not in_layout(X, "read-only").flags.writeable
    assert in_layout(X, "offset").base is not None


@given(shapes(min_dims=1, max_dims=3, max_side=4))
def test_shapes_keep_their_bounds(shape):
    assert 1 <= len(shape) <= 3 and all(0 <= n <= 4 for n in shape)


@given(broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast(found):
    assert len(found) == 3
    np.broadcast_shapes(*found)


@given(tensors(shape=(2, 3), dtype=np.float32))
def test_tensors_are_tensors(x):
    assert x.shape == (2, 3) and x.dtype == np.float32 and x.requires_grad


@given(layouts(X))
def test_layouts_are_arrays_of_the_shape(x):
    assert x.shape == X.shape


@given(op_cases("matmul"))
def test_op_cases_can_be_called(case):
    args, kwargs = case
    gradcheck(lambda *xs: mg.matmul(*xs, **kwargs), args, order=1)


def test_importing_the_checks_needs_no_hypothesis():
    code = "import sys; sys.modules['hypothesis'] = None; import minigen.testing as t; "
    code += "import numpy as np; t.gradcheck(lambda x: x * x, np.ones(3))"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, minigen; sys.exit('hypothesis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
