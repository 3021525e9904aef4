"""Gradients that cannot be had: the error says why, and nothing is left half-changed."""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DTypeError, GradError, ShapeError

pytestmark = pytest.mark.usefixtures("each_walk")


def leaf(values=(1.0, 2.0, 3.0)):
    return mg.tensor(np.array(values), requires_grad=True)


# --------------------------------------------------------------- who may require a gradient


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize(
    "make",
    [
        lambda x: mg.tensor(x, requires_grad=True),
        lambda x: mg.Tensor(x).requires_grad_(),
        lambda x: mg.ones(2, x.dtype, requires_grad=True),
        lambda x: setattr(mg.Tensor(x), "requires_grad", True),
        lambda x: mg.nn.Parameter(x),
    ],
)
def test_integers_and_booleans_cannot_require_grad(dtype, make):
    with pytest.raises(DTypeError, match=np.dtype(dtype).name):
        make(np.ones(2, dtype))


@pytest.mark.parametrize("wanted", [True, False])
def test_requires_grad_is_settable_on_leaves_only(wanted):
    y = leaf() * 2
    with pytest.raises(GradError, match=r"leaves only.*detach"):
        y.requires_grad = wanted
    assert y.requires_grad


# ------------------------------------------------------------------------ a second backward


@pytest.mark.parametrize("f", [lambda x: x * x, lambda x: x + 1, lambda x: mg.split(x, 3)[0]])
def test_backward_twice_names_retain_graph_and_leaves_the_gradient(f):
    x = leaf()
    y = f(x).sum()
    y.backward()
    before = x.grad.data.copy()
    with pytest.raises(GradError, match=r"freed.*retain_graph=True"):
        y.backward()
    assert np.array_equal(x.grad, before)


def test_backward_through_a_shared_part_that_is_freed_names_the_op():
    x = leaf()
    y = mg.exp(x)
    a, b = y.sum(), (y * 2).sum()
    a.backward()
    with pytest.raises(GradError, match=r"'exp'.*retain_graph"):
        b.backward()
    assert np.array_equal(x.grad, np.exp(x.data))


def test_grad_frees_the_graph_as_backward_does():
    x = leaf()
    y = (x * x).sum()
    mg.grad(y, x)
    with pytest.raises(GradError, match="retain_graph"):
        mg.grad(y, x)


def test_with_retain_graph_gradients_accumulate_exactly():
    x = leaf((0.1, 0.2, 0.3))
    y = (x * x * x).sum()
    once = mg.grad(y, x, retain_graph=True).data
    for _ in range(3):
        y.backward(retain_graph=True)
    assert np.array_equal(x.grad, once + once + once)


# ------------------------------------------------------------------------------ cotangents


def test_backward_on_a_non_scalar_without_cotangent_names_the_shape_and_the_remedy():
    x = leaf()
    for run in (lambda: (x * 2).backward(), lambda: mg.grad(x * 2, x)):
        with pytest.raises(GradError, match=r"\(3,\).*no scalar.*\.sum\(\).*cotangent"):
            run()
    assert x.grad is None


@pytest.mark.parametrize("shape", [(1,), (1, 1), ()])
def test_an_output_of_one_value_needs_no_cotangent(shape):
    x = leaf(np.full(shape, 3.0))
    (x * x).backward()
    assert x.grad.shape == shape
    assert float(x.grad) == 6


@pytest.mark.parametrize("form", [np.asarray, mg.Tensor])
@pytest.mark.parametrize("shape", [(2,), (), (3, 1)])
def test_a_cotangent_of_the_wrong_shape_is_a_shape_error_with_both_shapes(form, shape):
    x = leaf()
    for run in (
        lambda: (x * 2).backward(form(np.ones(shape))),
        lambda: mg.grad(x * 2, x, form(np.ones(shape))),
    ):
        with pytest.raises(ShapeError) as caught:
            run()
        assert "(3,)" in str(caught.value)
        assert str(shape) in str(caught.value)
    assert x.grad is None


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_a_cotangent_of_the_wrong_dtype_is_a_dtype_error_with_both_dtypes(dtype):
    x = leaf()
    for run in (
        lambda: (x * 2).backward(np.ones(3, dtype)),
        lambda: mg.grad(x * 2, x, np.ones(3, dtype)),
    ):
        with pytest.raises(DTypeError, match=f"{np.dtype(dtype)}.*float64"):
            run()
    assert x.grad is None


@pytest.mark.parametrize("cotangent", [[1.0, 1.0, 1.0], 1.0, 1, "a"], ids=repr)
def test_a_cotangent_that_is_no_array_is_a_dtype_error_that_names_its_type(cotangent):
    y = leaf() * 2 if isinstance(cotangent, list) else leaf().sum()
    with pytest.raises(DTypeError, match=f"cotangent.*{type(cotangent).__name__}"):
        y.backward(cotangent)


@pytest.mark.parametrize("cotangents", [[], [None], [None] * 3])
def test_grad_wants_as_many_cotangents_as_outputs(cotangents):
    x = leaf()
    with pytest.raises(GradError, match=f"2 outputs.*{len(cotangents)} cotangents"):
        mg.grad([x.sum(), x.mean()], x, cotangents)


# ------------------------------------------------------------------ nothing leads anywhere


def test_backward_where_nothing_requires_grad_says_so():
    with pytest.raises(GradError, match=r"requires grad.*requires_grad=True"):
        (mg.ones(3) * 2).sum().backward()


def test_backward_of_what_was_computed_under_no_grad_says_so():
    x = leaf()
    with mg.no_grad():
        y = (x * x).sum()
    with pytest.raises(GradError, match="grad mode was off"):
        y.backward()


def test_grad_for_an_input_without_grad_names_the_input():
    x = leaf()
    with pytest.raises(GradError, match=r"input 1 .*requires_grad=True"):
        mg.grad(x.sum(), [x, mg.ones(3)])


def test_grad_for_an_input_that_is_no_tensor_names_its_type():
    with pytest.raises(TypeError, match="ndarray"):
        mg.grad(leaf().sum(), [np.ones(3)])


@pytest.mark.parametrize("function", [mg.argmax, mg.floor, mg.isfinite])
def test_ops_without_derivative_return_constants(function):
    assert not function(leaf()).requires_grad


def test_casting_to_integers_cuts_the_graph():
    assert not leaf().astype(np.int64).requires_grad


# ----------------------------------------------------- a parameter stepped before backward


def stepped(x):
    """What an optimizer step does to x between forward and backward."""
    x.grad = mg.ones(x.shape, x.dtype)
    mg.optim.SGD([x], 0.1).step()
    x.grad = None


@pytest.mark.parametrize(
    ("op", "f"),
    [
        ("multiply", lambda x: x * x),
        ("add", lambda x: x + 1),
        ("getitem", lambda x: x[0]),
        ("softmax", mg.softmax),
        ("reshape", lambda x: x.reshape(3, 1)),
    ],
)
def test_a_parameter_stepped_between_forward_and_backward_is_a_grad_error_with_the_op(op, f):
    x, other = leaf(), leaf()
    y = f(x).sum() + (other * 2).sum()
    stepped(x)
    for run in (y.backward, lambda: mg.grad(y, x), lambda: mg.grad(y, x, create_graph=True)):
        with pytest.raises(GradError, match=f"'{op}'.*step"):
            run()
    assert x.grad is None
    assert other.grad is None


def test_a_step_does_not_spoil_a_graph_that_the_parameter_is_no_part_of():
    x, other = leaf(), leaf()
    y = (other * 2).sum()
    stepped(x)
    y.backward()
    assert np.array_equal(other.grad, [2, 2, 2])


def test_loading_a_state_between_forward_and_backward_is_a_grad_error_too():
    layer = mg.nn.Linear(2, 2)
    y = layer(mg.ones((1, 2))).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(GradError, match="linear"):
        y.backward()
    assert all(p.grad is None for p in layer.parameters())


# -------------------------------------------------------------------------- gradient slots


def test_the_gradient_of_an_interior_tensor_or_a_constant_cannot_be_set():
    for x in (leaf() * 2, mg.ones(3)):
        assert x.grad is None
        with pytest.raises(GradError, match="leaf"):
            x.grad = mg.ones(3)


def test_a_gradient_of_the_wrong_shape_or_dtype_cannot_be_set():
    x = leaf()
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        x.grad = mg.ones(2, np.float64)
    with pytest.raises(DTypeError, match="float64"):
        x.grad = mg.ones(3, np.float32)
    assert x.grad is None


def test_a_gradient_set_to_a_raw_array_works_in_an_optimizer_or_is_refused():
    x = leaf()
    try:
        x.grad = np.ones(3)
    except TypeError:
        assert x.grad is None
    else:
        assert isinstance(x.grad, mg.Tensor)
        mg.optim.SGD([x], 0.5).step()
        assert np.array_equal(x.detach(), [0.5, 1.5, 2.5])
