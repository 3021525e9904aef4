"""Operators in both orders, with the dtypes that API decisions promise, forward and backward."""

import operator

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DTypeError
from minigen.testing import assert_close

ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "//": operator.floordiv,
    "%": operator.mod,
}
every_operator = pytest.mark.parametrize("o", ARITHMETIC.values(), ids=ARITHMETIC)
X = np.array([1.5, 2.0, 3.0])


# ---------------------------------------------------------------------------- both orders


@every_operator
@pytest.mark.parametrize(
    "other",
    [2, 2.5, True, np.float64(2.5), np.int64(2), np.array(2.5), X[::-1], np.array([[2.0], [3.0]])],
    ids=lambda x: f"{type(x).__name__} {np.shape(x)}",
)
def test_operators_work_with_numbers_and_arrays_on_either_side(o, other):
    x = mg.tensor(X, requires_grad=True)
    for got, want in ((o(x, other), o(X, other)), (o(other, x), o(other, X))):
        assert type(got) is mg.Tensor
        assert got.requires_grad
        assert_close(got, np.asarray(want))


@every_operator
def test_operators_of_two_tensors_are_numpys_and_those_of_raw_arrays_stay_raw(o):
    a, b = mg.tensor(X, requires_grad=True), mg.tensor(X[::-1].copy())
    assert_close(o(a, b), o(X, X[::-1]))
    name = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power"}
    name |= {"floordiv": "floor_divide", "mod": "remainder"}
    assert type(getattr(mg, name[o.__name__])(X, X)) is np.ndarray


def test_matmul_works_with_arrays_on_either_side_and_refuses_scalars():
    a = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    b = np.arange(12.0).reshape(3, 4)
    assert_close(a @ b, a.data @ b)
    assert_close(b.T @ mg.transpose(a), b.T @ a.data.T)
    assert_close(a @ X, a.data @ X)
    assert type(b.T @ mg.transpose(a)) is mg.Tensor
    for wrong in (lambda: a @ 2, lambda: 2.0 @ a):
        with pytest.raises((ValueError, TypeError), match="matmul"):
            wrong()


def test_negation_and_absolute_value():
    x = mg.tensor([-1.0, 2.0], requires_grad=True)
    assert np.array_equal((-x).data, [1, -2])
    assert np.array_equal(abs(x).data, [1, 2])


@pytest.mark.parametrize("o", [operator.iadd, operator.isub, operator.imul, operator.itruediv])
def test_an_augmented_assignment_rebinds_and_leaves_tensor_and_array_alone(o):
    x = mg.tensor(X, requires_grad=True)
    y = o(x, 2.0)
    assert y is not x
    assert np.array_equal(x.data, X)
    array = X.copy()
    with pytest.raises(TypeError):  # NumPy would have to write the sum into the array
        o(array, x)
    assert np.array_equal(array, X)


@pytest.mark.parametrize("o", [operator.lshift, operator.rshift])
def test_operators_without_an_op_are_type_errors(o):
    x = mg.tensor([1, 2])
    for pair in ((x, 2), (2, x), (np.array([1, 2]), x)):
        with pytest.raises(TypeError):
            o(*pair)


# --------------------------------------------------------------------------------- dtypes

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int64", "uint8", "bool")


@every_operator
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scalar", [2, 2.5, True, -3])
def test_python_scalars_never_change_a_float_dtype(o, dtype, scalar):
    x = mg.ones(3, dtype, requires_grad=True)
    for y in (o(x, scalar), o(scalar, x)):
        assert y.dtype == dtype
        assert mg.grad(y.sum(), x).dtype == dtype


@every_operator
@pytest.mark.parametrize("integer", INTEGERS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_an_integer_or_boolean_tensor_with_a_float_one_keeps_the_float_dtype(o, integer, dtype):
    n, x = mg.ones(3, integer), mg.ones(3, dtype, requires_grad=True)
    for y in (o(n, x), o(x, n), o(n.data, x), o(x, n.data)):
        assert y.dtype == dtype
        assert mg.grad(y.sum(), x).dtype == dtype


@every_operator
def test_float32_with_float64_gives_float64_and_each_gradient_its_own_dtype(o):
    a = mg.ones(3, mg.float32, requires_grad=True)
    b = mg.ones(3, mg.float64, requires_grad=True)
    for y in (o(a, b), o(b, a)):
        assert y.dtype == mg.float64
        for create_graph in (False, True):
            ga, gb = mg.grad(y.sum(), [a, b], create_graph=create_graph, retain_graph=True)
            assert (ga.dtype, gb.dtype) == (mg.float32, mg.float64)


@pytest.mark.parametrize("a", INTEGERS)
@pytest.mark.parametrize("b", INTEGERS)
def test_integers_among_themselves_follow_numpy_but_quotients_are_float32(a, b):
    x, y = mg.ones(2, a), mg.ones(2, b)
    assert (x + y).dtype == np.result_type(a, b)
    assert (x * y).dtype == np.result_type(a, b)
    assert (x / y).dtype == np.float32


@pytest.mark.parametrize("integer", ["int8", "int64", "uint8"])
def test_an_integer_tensor_keeps_its_dtype_beside_a_python_int_and_is_float32_beside_a_float(
    integer,
):
    x = mg.ones(2, integer)
    assert (x + 2).dtype == (2 * x).dtype == (x**2).dtype == integer
    assert (x + 2.5).dtype == (2.5 * x).dtype == (x**2.5).dtype == np.float32


FLOAT_FUNCTIONS = (
    *("exp", "log", "log1p", "expm1", "sqrt", "reciprocal", "sin", "cos", "tanh", "erf", "sigmoid"),
    *("log_sigmoid", "leaky_relu", "elu", "gelu", "silu", "softplus", "mean", "var", "std", "norm"),
    *("logsumexp", "softmax", "log_softmax"),
)


@pytest.mark.parametrize("name", FLOAT_FUNCTIONS)
@pytest.mark.parametrize("integer", ["int8", "int64", "uint8", "bool"])
def test_float_functions_of_integers_give_float32(name, integer):
    f, x = getattr(mg, name), np.ones(3, integer)
    want = f(x.astype(np.float32))
    for form in (np.asarray, mg.tensor):
        assert_close(f(form(x)), np.asarray(want))


@pytest.mark.parametrize("name", ["abs", "square", "relu", "max", "min", "negative", "sign"])
@pytest.mark.parametrize("integer", ["int8", "int64"])
def test_functions_that_integers_have_too_keep_their_dtype(name, integer):
    assert getattr(mg, name)(mg.ones(3, integer)).dtype == integer


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum"])
@pytest.mark.parametrize("integer", INTEGERS)
def test_sums_and_products_of_integers_are_int64(name, integer):
    args = (0,) if name == "cumsum" else ()
    for x in (np.ones(3, integer), mg.ones(3, integer)):
        assert getattr(mg, name)(x, *args).dtype == np.int64


PAIRS = {
    "matmul": mg.matmul,
    "outer": mg.outer,
    "tensordot": lambda a, b: mg.tensordot(a, b, 1),
    "einsum": lambda a, b: mg.einsum("i,i", a, b),
    "linear": lambda a, b: mg.linear(a, mg.expand_dims(b, 0)),
    "concatenate": lambda a, b: mg.concatenate([a, b]),
    "stack": lambda a, b: mg.stack([a, b]),
    "where": lambda a, b: mg.where(np.array([True, False, True]), a, b),
    "maximum": mg.maximum,
    "mse_loss": mg.mse_loss,
    "l1_loss": mg.l1_loss,
    "smooth_l1_loss": mg.smooth_l1_loss,
    "huber_loss": mg.huber_loss,
    "bce": mg.binary_cross_entropy_with_logits,
    "gaussian_kl": mg.gaussian_kl,
    "layer_norm": lambda a, b: mg.layer_norm(a, 3, b),
    "scatter_add": lambda a, b: mg.scatter_add(a, [0, 0, 1], b),
}
every_pair = pytest.mark.parametrize("f", PAIRS.values(), ids=PAIRS)


@every_pair
@pytest.mark.parametrize("dtypes", [FLOATS, FLOATS[::-1]])
def test_products_joins_and_losses_of_float32_and_float64_are_float64(f, dtypes):
    a, b = (mg.tensor(X.astype(dtype), requires_grad=True) for dtype in dtypes)
    y = f(a, b)
    assert_close(y, np.asarray(f(X, X)), 1e-6)
    assert [g.dtype for g in mg.grad(y.sum(), [a, b])] == [np.dtype(dtype) for dtype in dtypes]


@every_pair
@pytest.mark.parametrize("integer", ["int64", "int8", "uint8"])
def test_products_joins_and_losses_of_integers_with_float32_are_float32(f, integer):
    n, x = np.arange(1, 4).astype(integer), X.astype(np.float32)
    want = np.asarray(f(n.astype(np.float32), x))
    assert_close(f(mg.tensor(n), mg.tensor(x)), want, 1e-5)
    assert_close(f(n, x), want, 1e-5)


@pytest.mark.parametrize("name", [n for n in PAIRS if "loss" in n or n in ("bce", "layer_norm")])
def test_losses_and_norms_of_integers_alone_are_float32(name):
    n = np.array([1, 0, 2])
    want = PAIRS[name](n.astype(np.float32), n[::-1].astype(np.float32))
    assert_close(PAIRS[name](mg.tensor(n), mg.tensor(n[::-1])), np.asarray(want.data), 1e-5)


SETTINGS = {
    "dropout": lambda x, s: mg.dropout(x, s(0.5)),
    "leaky_relu": lambda x, s: mg.leaky_relu(x, s(0.1)),
    "elu": lambda x, s: mg.elu(x, s(0.5)),
    "softplus": lambda x, s: mg.softplus(x, s(2.0)),
    "clip": lambda x, s: mg.clip(x, s(0.5), s(1.5)),
    "var": lambda x, s: mg.var(x, ddof=s(1.0)),
    "norm": lambda x, s: mg.norm(x, s(3.0)),
    "layer_norm": lambda x, s: mg.layer_norm(x, 3, eps=s(0.1)),
    "huber_loss": lambda x, s: mg.huber_loss(x, 0 * x, delta=s(1.0)),
    "smooth_l1_loss": lambda x, s: mg.smooth_l1_loss(x, 0 * x, beta=s(1.0)),
    "pad": lambda x, s: mg.pad(x, 1, s(2.0)),
}


@pytest.mark.parametrize("f", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("scalar", [float, np.float64, np.float32])
def test_the_type_of_a_setting_does_not_change_the_dtype(f, scalar):
    x = mg.tensor(X.astype(np.float32), requires_grad=True)
    y = f(x, scalar)
    assert y.dtype == np.float32
    assert mg.grad(y.sum(), x).dtype == np.float32


def test_a_gradient_of_another_dtype_than_its_tensor_cannot_be_asked_for():
    x = mg.ones(2, mg.float32, requires_grad=True)
    with pytest.raises(DTypeError):
        (x * np.ones(2)).backward(np.ones(2, np.float32))
    (x * np.ones(2)).backward(np.ones(2))
    assert x.grad.dtype == np.float32
