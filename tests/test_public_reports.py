"""What users of engines of this kind reported in public: wrong values, and errors that mislead."""

import operator
import pickle

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.data import DataLoader
from minigen.errors import DTypeError, GradError, ShapeError
from minigen.optim import SGD, lr_scheduler
from minigen.testing import gradcheck

REPEATED = [  # spec, shapes with axes of length 1, and the shapes that they are repeated to
    ("i,i", [(2,), (1,)], [(2,), (2,)]),
    ("ij,jk->ik", [(2, 1), (3, 4)], [(2, 3), (3, 4)]),
    ("ij,jk->ik", [(2, 3), (1, 4)], [(2, 3), (3, 4)]),
    ("ij,ij->", [(1, 3), (2, 1)], [(2, 3), (2, 3)]),
    ("i,i,i->", [(1,), (3,), (1,)], [(3,), (3,), (3,)]),
    ("ij,jk,kl->il", [(2, 1), (3, 1), (4, 2)], [(2, 3), (3, 4), (4, 2)]),
    ("...i,...i->...", [(2, 1, 3), (4, 1)], [(2, 4, 3), (2, 4, 3)]),
]


@pytest.mark.parametrize(("spec", "shapes", "full"), REPEATED)
def test_einsum_repeats_axes_of_length_1_also_where_it_sums_over_them(spec, shapes, full):
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=shape) for shape in shapes]
    expected = np.einsum(spec, *map(np.broadcast_to, xs, full))
    np.testing.assert_allclose(mg.einsum(spec, *xs), expected, rtol=1e-12)
    gradcheck(lambda *xs: mg.einsum(spec, *xs), xs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("...a...->a", np.ones((2, 3))), "'...' twice"),
        (("a->...a...", np.ones(2)), "'...' twice"),
        ((np.ones((2, 3)), [0, 1]), "the first argument is the specification"),
        (("ij,jk->ik", [np.ones((2, 3)), np.ones((3, 2))]), "one by one"),
        (("a1->a", np.ones((2, 3))), "letters are a to z"),
        (("...j,j...->...", np.ones((2, 3)), np.ones((3, 4))), "an axis of '...' has lengths"),
    ],
)
def test_einsum_says_what_is_wrong_with_a_specification(arguments, message):
    with pytest.raises(ShapeError, match=message.replace(".", r"\.")):
        mg.einsum(*arguments)


SMOOTH = (
    *("exp", "log", "log1p", "expm1", "sqrt", "reciprocal", "sin", "cos", "tan", "tanh", "erf"),
    *("sigmoid", "silu", "softplus", "gelu", "elu", "log_sigmoid", "sinh", "cosh", "rsqrt"),
    *("arcsin", "arccos", "arctan", "log2", "log10", "exp2"),
)


def derivatives(f, value, dtype=np.float64, order=3):
    """f and its derivatives at value, as numbers."""
    x = mg.tensor(np.array(value, dtype), requires_grad=True)
    y = f(x)
    found = [float(y)]
    for _ in range(order):
        y = mg.grad(y, x, create_graph=True)
        found.append(float(y))
    return found


@pytest.mark.parametrize("name", SMOOTH)
def test_all_derivatives_at_NaN_are_NaN(name):
    assert np.isnan(derivatives(getattr(mg, name), np.nan)).all()
    if name == "gelu":
        assert np.isnan(derivatives(lambda x: mg.gelu(x, approximate="tanh"), np.nan)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [1e20, -1e20, 1e8, 3.0, 1.0, -1.0, 0.5, 0.0, np.inf, -np.inf])
def test_derivatives_of_arctan_are_right_up_to_infinity(value, dtype):
    x = float(np.array(value, dtype))
    q = 1 / (1 + x * x)
    expected = [q, 0.0, 0.0] if np.isinf(x) else [q, -2 * x * q**2, (6 * x * x - 2) * q**3]
    found = derivatives(mg.arctan, value, dtype)[1:]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_arctan2_neither_overflows_nor_is_lost(dtype):
    tiny, huge = (1e-25, 1e25) if dtype == np.float32 else (1e-200, 1e200)
    for a, b in [(tiny, 2 * tiny), (huge, huge), (huge, 1.0), (1.0, 0.0), (0.0, -1.0), (3.0, -4.0)]:
        points = [mg.tensor(np.array(v, dtype), requires_grad=True) for v in (a, b)]
        found = [float(g) for g in mg.grad(mg.arctan2(*points), points)]
        m = max(abs(a), abs(b))
        norm = ((a / m) ** 2 + (b / m) ** 2) * m
        expected = [b / m / norm, -a / m / norm]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=np.finfo(dtype).tiny)
    for a, b in [(0.0, 0.0), (np.inf, 1.0), (1.0, -np.inf), (np.inf, np.inf)]:
        points = [mg.tensor(np.array(v, dtype), requires_grad=True) for v in (a, b)]
        first = mg.grad(mg.arctan2(*points), points, create_graph=True)
        second = mg.grad(first[0] + first[1], points)
        assert [float(g) for g in (*first, *second)] == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize(
    "f", [mg.sum, mg.prod, lambda x: mg.cumsum(x, 0), lambda x: mg.cumprod(x, 0)]
)
def test_sums_and_products_of_integers_are_int64(f, dtype):
    assert f(mg.tensor(np.array([1, 1], dtype))).dtype == np.int64


@pytest.mark.parametrize("name", ["argmax", "argmin", "max", "min"])
def test_extremes_over_an_axis_of_an_empty_batch_are_empty(name):
    assert getattr(mg, name)(mg.zeros((0, 3)), 1).shape == (0,)
    assert getattr(mg, name)(mg.zeros((2, 0, 3)), -1, keepdims=True).shape == (2, 0, 1)
    with pytest.raises(ShapeError, match="has no values"):
        getattr(mg, name)(mg.zeros((0, 3)), 0)


def test_a_tensor_as_data_of_another_is_named():
    p = mg.tensor([1.0, 2.0], requires_grad=True)
    p.data = p.data - 0.1 * mg.tensor([1.0, 1.0])  # an idiom of PyTorch: here a tensor, no array
    for f in (mg.exp, mg.sum, lambda x: x * 2, lambda x: x @ x):
        with pytest.raises(DTypeError, match=r"assign an array, as in p\.data = x\.data"):
            f(p)


def test_tensors_and_modules_can_be_pickled_and_computed_tensors_say_why_not():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(x, protocol))
        assert twin.requires_grad and twin.data.tolist() == [1.0, 2.0]
    state = pickle.loads(pickle.dumps(nn.Linear(2, 3))).state_dict()
    assert state["weight"].shape == (3, 2)
    for y in (x * 2, x.reshape(2, 1), x.sort()[0]):
        with pytest.raises(GradError, match=r"\.detach\(\)"):
            pickle.dumps(y)
        pickle.dumps(y.detach())


def test_bce_refuses_targets_that_are_no_probabilities():
    for target in ([2.0], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match="the target must lie in"):
            mg.binary_cross_entropy(mg.tensor([0.5]), mg.tensor(target))


@pytest.mark.parametrize("seed", [1.5, "3", None, np.float64(2), (1, 2)])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(TypeError, match="must be a whole number"):
        mg.Generator(seed)
    with pytest.raises(TypeError, match="must be a whole number"):
        mg.manual_seed(seed)


def test_seeds_of_any_integer_type_are_the_same_seed():
    expected = mg.Generator(5).normal(3).tolist()
    for seed in (np.uint8(5), np.int64(5), np.array(5), mg.tensor(5)):
        assert mg.Generator(seed).normal(3).tolist() == expected


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (300, np.uint8),
        ([1, -1], np.uint8),
        ([[128]], np.int8),
        ([np.nan], np.int64),
        ((1e20, 0.0), np.int64),
        ([np.inf], np.uint32),
        ([2**31], np.int32),
    ],
)
def test_numbers_that_an_integer_dtype_has_not_are_refused(data, dtype):
    with pytest.raises(DTypeError, match=f"does not fit {np.dtype(dtype)}"):
        mg.tensor(data, dtype=dtype)
    with np.errstate(invalid="ignore"):  # an array is cast as NumPy casts it
        assert mg.tensor(np.array(data), dtype=dtype).dtype == dtype


def test_numbers_within_an_integer_dtype_are_taken():
    assert mg.tensor([255, 0], dtype=np.uint8).data.tolist() == [255, 0]
    assert mg.tensor([-1.7, 1.7], dtype=np.int64).data.tolist() == [-1, 1]
    assert mg.tensor([], dtype=np.int8).shape == (0,)
    assert mg.tensor(2**63, dtype=np.uint64).item() == 2**63
    assert mg.tensor(True, dtype=np.int8).item() == 1


@pytest.mark.parametrize("size", [3, np.int64(3), np.array(3), mg.tensor(3), [3], np.array([3])])
def test_a_size_is_any_whole_number(size):
    assert mg.zeros(size).shape == mg.full(size, 1.0).shape == mg.randn(size).shape == (3,)


def test_round_of_a_tensor_of_size_1_is_that_of_its_number():
    loss = mg.tensor([2.5678], dtype=np.float64, requires_grad=True).mean()
    assert (round(loss, 2), round(loss), round(mg.tensor(7), -1)) == (2.57, 3, 10)
    with pytest.raises(ValueError, match="size"):
        round(mg.ones(2), 1)


def test_plus_x_is_x_and_every_operator_in_place_names_the_optimizer():
    x = mg.tensor([1.0, -2.0], requires_grad=True)
    assert (+x).data.tolist() == [1.0, -2.0]
    in_place = ("iadd", "isub", "imul", "itruediv", "ipow", "ifloordiv", "imod")
    for name in in_place:
        y = getattr(operator, name)(x, 2.0)  # of a tensor that is no parameter in an update: x + 2
        assert y is not x and x.data.tolist() == [1.0, -2.0]
        with mg.no_grad(), pytest.raises(GradError, match="optimizer"):
            getattr(operator, name)(x, 2.0)


SGD_OF_1 = SGD([mg.tensor([1.0], requires_grad=True)], lr=0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.norm(mg.ones((2, 2)), "nuc"), ValueError, "must be a number"),
        (lambda: mg.arange(0, 1, 0), ValueError, "step must not be 0"),
        (lambda: mg.topk(mg.ones(2), 3), ShapeError, "k must be from 0 to"),
        (lambda: mg.Generator(0).choice([1, 2], 3), TypeError, "n must be a whole number"),
        (lambda: mg.Generator(0).choice(0, 3), ValueError, "choice needs n >= 1"),
        (lambda: mg.Generator(0).permutation([1, 2]), TypeError, "n must be a whole number"),
        (lambda: nn.Linear(2, 2).load_state_dict([1]), TypeError, "needs a dict of arrays"),
        (
            lambda: nn.Linear(2, 2).load_state_dict(nn.Linear(2, 2)),
            TypeError,
            "needs a dict of arrays",
        ),
        (lambda: lr_scheduler.LambdaLR(SGD_OF_1, 0.5), TypeError, "a function of the epoch"),
        (lambda: nn.Flatten(2, 1)(mg.ones((2, 3, 4))), ShapeError, "2 comes after axis 1"),
        (lambda: mg.flatten(mg.ones((2, 3, 4)), 2, 0), ShapeError, "2 comes after axis 0"),
        (lambda: nn.Linear(2.5, 2), TypeError, "a size .*must be a whole number.* 2.5"),
        (lambda: mg.Generator(0).normal((2, 1.5)), TypeError, "a size .*must be a whole number"),
        (lambda: nn.Linear(2, 2)([1.0, 2.0]), DTypeError, "Linear: takes tensors"),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 1))([[1.0]]), DTypeError, "Conv2d: takes tensors"),
        (lambda: nn.GRU(2, 2)([1.0]), DTypeError, "GRU: takes tensors"),
        (lambda: mg.save("x", mg.ones(2)), TypeError, "a dict of arrays by name"),
        (lambda: mg.save("x", nn.Linear(2, 2)), TypeError, "a dict of arrays by name"),
        (lambda: mg.save("x", SGD_OF_1.state_dict()), TypeError, "save_state"),
        (lambda: DataLoader({"a": np.arange(3)}, 2), ValueError, "pass a tuple of them"),
    ],
)
def test_misuse_is_named_in_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
