"""What is no array, no dtype of minigen's, or no index in range; and odd arrays that are fine."""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DTypeError
from minigen.testing import assert_close

x2 = np.array([0.5, 2.0])
x22 = np.array([[0.5, 2.0], [1.0, 3.0]])
UNARY = (
    *("exp", "relu", "abs", "sigmoid", "gelu", "clip", "sum", "mean", "max", "prod", "norm"),
    *("logsumexp", "softmax", "reshape", "getitem", "argmax", "isfinite", "layer_norm", "dropout"),
)
BINARY = ("add", "power", "maximum", "matmul", "linear", "mse_loss", "concatenate", "stack")
COMPUTING = [op for op in UNARY + BINARY if op not in ("reshape", "getitem", "argmax", "isfinite")]
EXTRA = {"reshape": ((-1,),), "getitem": (0,), "layer_norm": (2,)}


def call(op, x, other=x2):
    """op on x, and on other if it takes two."""
    f = getattr(mg, op)
    if op in ("concatenate", "stack"):
        return f([other, x])
    if op == "linear":
        return f(other, x)
    return f(x, other) if op in BINARY else f(x, *EXTRA.get(op, ()))


# ----------------------------------------------------------------------- no array at all


@pytest.mark.parametrize("op", COMPUTING)
@pytest.mark.parametrize("value", [None, "abc", [0.5, 2.0], {1: 2}, 2j], ids=repr)
def test_what_is_no_array_is_a_dtype_error_that_names_op_and_type(op, value):
    for other in (x2, mg.tensor(x2)):
        with pytest.raises(DTypeError, match=op) as caught:
            call(op, value, other)
        assert type(value).__name__ in str(caught.value)


@pytest.mark.parametrize("value", [None, "abc", [0.5, 2.0]], ids=repr)
@pytest.mark.parametrize("reflected", [False, True])
def test_operators_refuse_what_is_no_array_by_name(value, reflected):
    x = mg.tensor(x2)
    with pytest.raises(DTypeError, match="add.*" + type(value).__name__):
        value + x if reflected else x + value


TARGETS = ("cross_entropy", "nll_loss")


@pytest.mark.parametrize("op", TARGETS)
@pytest.mark.parametrize("target", [[0.0, 1.0], None, "ab"], ids=repr)
def test_class_losses_refuse_targets_that_are_no_integers(op, target):
    with pytest.raises(DTypeError, match=op):
        getattr(mg, op)(mg.tensor(x22), target)


# -------------------------------------------------------------------- dtypes that are not


@pytest.mark.parametrize("op", COMPUTING)
@pytest.mark.parametrize("dtype", ["float16", "complex128", "object", ">f8"])
def test_raw_arrays_of_other_dtypes_are_a_dtype_error(op, dtype):
    x = np.array([1, 2]).astype(dtype)
    x = x.reshape(1, 2) if op == "linear" else x
    for other in (x2, mg.tensor(x2)):
        with pytest.raises(DTypeError):
            call(op, x, other)


@pytest.mark.parametrize("op", BINARY)
def test_masked_arrays_beside_a_tensor_are_a_dtype_error_with_the_remedy(op):
    x = np.ma.array([1.0, 2.0], mask=[0, 1])
    x = x.reshape(1, 2) if op == "linear" else x
    with pytest.raises(DTypeError, match=r"masked.*filled"):
        call(op, x, mg.tensor(x2))


@pytest.mark.parametrize("op", ["embedding", "take_along_axis", "one_hot"])
@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_an_index_that_is_no_integer_array_is_a_dtype_error(op, dtype):
    index = np.zeros((2, 2), dtype)
    with pytest.raises(DTypeError, match=f"{op}.*integer.*{dtype}"):
        indexed(op, index)


def indexed(op, index, size=2):
    if op == "embedding":
        return mg.embedding(index, mg.ones((size, 3)))
    if op == "one_hot":
        return mg.one_hot(index, size)
    return mg.take_along_axis(mg.ones((2, size)), index, 1)


# -------------------------------------------------------------------------- out of range


@pytest.mark.parametrize("op", ["embedding", "one_hot", "take_along_axis"])
@pytest.mark.parametrize("wrong", [2, 10**12, -3])
@pytest.mark.parametrize("form", [np.array, mg.tensor], ids=["raw", "tensor"])
def test_an_index_out_of_range_is_named_with_range_and_position(op, wrong, form):
    low = -2 if op == "take_along_axis" else 0
    with pytest.raises(IndexError, match=f"^{op}.* {wrong} ") as caught:
        indexed(op, form(np.array([[0, 1], [wrong, 0]])))
    assert "(1, 0)" in str(caught.value)
    assert f"[{low}, 2)" in str(caught.value)


def test_embedding_and_one_hot_refuse_negative_indices():
    for op in ("embedding", "one_hot"):
        with pytest.raises(IndexError, match=r"-1 .*\(0,\).*\[0, 2\)"):
            indexed(op, np.array([-1]))


@pytest.mark.parametrize("op", TARGETS)
@pytest.mark.parametrize("wrong", [2, -1, 10**12])
def test_a_class_target_out_of_range_is_named_with_range_and_position(op, wrong):
    with pytest.raises(IndexError, match=f"^{op}.* {wrong} .*\\(1,\\).*\\[0, 2\\)"):
        getattr(mg, op)(mg.tensor(x22), np.array([0, wrong]))
    with pytest.raises(IndexError, match=r"\(0, 1\)"):
        getattr(mg, op)(mg.ones((1, 2, 2)), np.array([[0, wrong]]))


@pytest.mark.parametrize("op", TARGETS)
def test_ignored_targets_may_lie_out_of_range(op):
    loss = getattr(mg, op)(mg.tensor(x22), np.array([0, 7]), ignore_index=7)
    assert_close(loss, getattr(mg, op)(mg.tensor(x22[:1]), np.array([0])))


@pytest.mark.parametrize("index", [3, -4, (0, 2), (slice(None), -3)], ids=repr)
def test_getitem_and_scatter_add_name_an_integer_out_of_range_and_the_size(index):
    x = mg.ones((3, 2))
    wrong, size = (index, 3) if isinstance(index, int) else (index[1], 2)
    for f in (lambda: x[index], lambda: mg.scatter_add(x, index, 1.0)):
        with pytest.raises(IndexError, match=f"{wrong} .*{size}"):
            f()


@pytest.mark.parametrize("index", [np.array([0, 5]), (0, np.array([[0, 5]]))], ids=["1d", "2d"])
def test_getitem_and_scatter_add_name_the_position_in_an_index_array(index):
    x = mg.ones((3, 2))
    position = r"\(1,\)" if isinstance(index, np.ndarray) else r"\(0, 1\)"
    for f in (lambda: x[index], lambda: mg.scatter_add(x, index, 1.0)):
        with pytest.raises(IndexError, match=f"5 .*{position}"):
            f()


# ------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), float("inf")])
@pytest.mark.parametrize("training", [True, False])
def test_dropout_refuses_a_p_out_of_range_also_at_construction(p, training):
    with pytest.raises(ValueError, match=rf"dropout: p must be in \[0, 1\], got {p}"):
        mg.dropout(mg.ones(2), p, training)
    with pytest.raises(ValueError, match=rf"Dropout: p must be in \[0, 1\], got {p}"):
        mg.nn.Dropout(p)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mg.norm(x2, -1), "norm: ord must be positive, got -1"),
        (lambda: mg.gelu(x2, "erf"), "gelu: approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: mg.huber_loss(x2, x2, delta=0), "huber_loss: delta must be positive, got 0"),
        (lambda: mg.smooth_l1_loss(x2, x2, beta=-1), "smooth_l1_loss: beta must not be negative"),
        (lambda: mg.mse_loss(x2, x2, "avg"), "'mean', 'sum' or 'none', got 'avg'"),
        (lambda: mg.nn.MSELoss("avg"), "'mean', 'sum' or 'none', got 'avg'"),
        (lambda: mg.binary_cross_entropy(x2, x2), r"binary_cross_entropy: .*\[0, 1\].*logits"),
        (
            lambda: mg.cross_entropy(x22, np.array([0, 0]), label_smoothing=2),
            r"cross_entropy: label_smoothing must be in \[0, 1\], got 2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_out_of_range_are_value_errors_with_name_and_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("op", ["exp", "sum", "add", "prod", "cross_entropy"])
def test_unknown_missing_and_repeated_arguments_are_type_errors_that_name_the_op(op):
    args = (x22, np.array([0, 1])) if op in ("add", "cross_entropy") else (x22,)
    f = getattr(mg, op)
    for broken in (lambda: f(*args, colour=0), f, lambda: f(*args, 0, 0, 0, 0, 0, 0)):
        with pytest.raises(TypeError, match=rf"{op}\(\)"):
            broken()


# ------------------------------------------------------------------- odd, and quite right


NEED_AN_AXIS_OR_DRAW = ("getitem", "layer_norm", "softmax", "dropout")


@pytest.mark.parametrize("op", [op for op in UNARY if op not in NEED_AN_AXIS_OR_DRAW])
def test_python_scalars_are_arrays_of_no_dims(op):
    got, want = call(op, 0.5), call(op, np.array(0.5))
    assert np.shape(got) == np.shape(want)
    assert np.allclose(got, want, rtol=1e-6)


def test_python_scalars_take_part_in_joins_products_and_losses():
    for got, want in (
        (mg.outer(2.0, mg.tensor([3.0])), [[6]]),
        (mg.mse_loss(mg.tensor(3.0), 1.0), 4),
        (mg.einsum(",i->i", 2.0, mg.tensor([3.0])), [6]),
        (mg.reshape(2.0, (1, 1)), [[2]]),
    ):
        assert np.array_equal(got, want)


READ_ONLY = x22.copy()
READ_ONLY.flags.writeable = False
ODD = {
    "read-only": READ_ONLY,
    "negative steps": x22[::-1, ::-1],
    "transposed": x22.T,
    "strided": np.repeat(x22, 2, 1)[:, ::2],
    "stride 0": np.broadcast_to(x2, (2, 2)),
    "size 0": np.zeros((0, 2)),
    "a matrix of a subclass": np.asarray(x22).view(type("Sub", (np.ndarray,), {})),
}


@pytest.mark.parametrize("x", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "f",
    [
        mg.exp,
        lambda x: mg.sum(x, 1),
        lambda x: mg.matmul(x, mg.transpose(x)),
        lambda x: mg.linear(x, x22),
        lambda x: mg.layer_norm(x, 2),
        lambda x: mg.softmax(x),
        lambda x: mg.getitem(x, (slice(None, None, -1), 1)),
        lambda x: mg.cross_entropy(x, np.zeros(len(x), int), reduction="sum"),
    ],
)
def test_any_layout_gives_the_value_and_gradient_of_a_plain_copy(x, f):
    results = []
    for form in (x, np.array(x, subok=False, order="C")):
        leaf = mg.Tensor(form).requires_grad_()
        y = f(leaf)
        y.backward(np.full(y.shape, 2.0))
        assert leaf.grad.data.flags.writeable
        results.append((y.data, leaf.grad.data))
    for got, want in zip(*results):
        assert_close(got, want)


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
def test_a_mean_over_no_target_at_all_is_nan_without_a_warning(loss):
    x = mg.ones((2, 3)).requires_grad_()
    mean = loss(x, np.array([-100, -100]))
    assert np.isnan(mean.item()) and mean.dtype == np.float32
    mean.backward()
    assert (x.grad.numpy() == 0).all()
