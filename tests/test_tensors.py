"""The tensor as a thing: what it is, what it turns into, how it is indexed and compared."""

import copy
import pickle

import numpy as np
import pytest

import minigen as mg
from minigen.errors import GradError

X = np.arange(24.0).reshape(4, 6)


def leaf(values=X):
    return mg.tensor(values, requires_grad=True)


# ----------------------------------------------------------------------------- attributes


@pytest.mark.parametrize("x", [X, X[0, 0], X[:0], X.astype("int8"), X > 3, X[::-2].T])
def test_a_tensor_tells_what_its_array_is(x):
    t = mg.tensor(x)
    assert type(t.data) is np.ndarray
    assert (t.shape, t.ndim, t.size, t.dtype) == (x.shape, x.ndim, x.size, x.dtype)
    assert t.device == "cpu"
    assert np.array_equal(t.T, x.T)
    assert t.numpy() is t.data


@pytest.mark.parametrize("f", [mg.sum, lambda x: x[0, 0], lambda x: mg.max(x) * 2, mg.mean])
def test_data_is_an_ndarray_also_where_there_are_no_dims(f):
    assert type(f(leaf()).data) is np.ndarray
    assert f(leaf()).shape == ()


def test_new_attributes_cannot_be_set():
    with pytest.raises(AttributeError):
        leaf().color = 1


def test_requires_grad_can_be_set_on_a_leaf_and_detach_shares_memory():
    x = mg.tensor([1.0, 2.0])
    assert x.requires_grad_() is x
    assert x.requires_grad
    (x * 3).sum().backward()
    x.requires_grad = False
    assert x.grad is None
    assert not (x * 3).requires_grad
    y = leaf() * 2
    assert not y.detach().requires_grad
    assert y.detach().data is y.data


def test_grad_is_a_tensor_on_leaves_and_none_elsewhere():
    x = leaf()
    y = x * 2
    assert x.grad is None
    y.sum().backward()
    assert type(x.grad) is mg.Tensor
    assert np.array_equal(x.grad, np.full(X.shape, 2))
    assert y.grad is None
    assert not x.grad.requires_grad


# ------------------------------------------------------------------------- Python numbers


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_tensor_of_one_value_is_a_python_number(shape):
    x = mg.full(shape, 2.5)
    assert (x.item(), float(x), int(x), bool(x), complex(x)) == (2.5, 2.5, 2, True, 2.5)
    assert [type(f(x)) for f in (float, int, bool)] == [float, int, bool]
    assert type(mg.full(shape, 3).item()) is int
    assert type(mg.full(shape, True).item()) is bool
    assert not bool(mg.zeros(shape))
    assert float(leaf(np.full(shape, 1.5))) == 1.5


@pytest.mark.parametrize("shape", [(0,), (2,), (2, 0)])
def test_a_tensor_of_none_or_several_values_is_no_number(shape):
    for turn in (bool, float, int, lambda x: x.item()):
        with pytest.raises(ValueError, match=r"size 1|ambiguous|one value"):
            turn(mg.zeros(shape))


def test_an_integer_tensor_serves_as_an_index_and_a_float_one_does_not():
    assert "abc"[mg.tensor(1)] == "b"
    assert list(range(mg.tensor(2))) == [0, 1]
    for wrong in (mg.tensor(1.0), mg.tensor([1])):
        with pytest.raises(TypeError):
            "abc"[wrong]


def test_len_and_iteration_go_over_the_first_axis_and_keep_the_graph():
    x = leaf()
    assert len(x) == 4
    rows = list(x)
    assert all(type(row) is mg.Tensor and row.shape == (6,) for row in rows)
    (rows[1] * 2 + rows[3]).sum().backward()
    assert np.array_equal(x.grad, np.array([0, 2, 0, 1])[:, None] * np.ones((4, 6)))
    for refused in (len, list):
        with pytest.raises(TypeError, match="0-d"):
            refused(mg.tensor(1.0))


# ------------------------------------------------------------------ comparisons and hashes

COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("other", [3, 3.0, np.float64(3), X[0], X], ids=lambda x: str(np.shape(x)))
def test_comparisons_give_boolean_tensors_with_anything_on_either_side(name, other):
    x = leaf(X % 6)
    want = getattr(X % 6, name)(other)
    results = [getattr(x, name)(other), getattr(x, name)(mg.tensor(other))]
    mirrored = {"__lt__": "__gt__", "__le__": "__ge__", "__gt__": "__lt__", "__ge__": "__le__"}
    operator = {"__eq__": "==", "__ne__": "!=", "__lt__": "<", "__le__": "<=", "__gt__": ">"}
    mirror = operator.get(mirrored.get(name, name), ">=")
    results.append(eval(f"other {mirror} x", {"other": other, "x": x}))
    for got in results:
        assert type(got) is mg.Tensor
        assert got.dtype == bool
        assert not got.requires_grad
        assert np.array_equal(got, want)


def test_equality_with_what_is_no_number_is_false_everywhere():
    for other in (None, "a"):
        assert not np.any(mg.ones(2) == other)
        assert np.all(mg.ones(2) != other)


def test_hash_is_identity():
    a, b = mg.tensor(1.0), mg.tensor(1.0)
    assert {a: 1, b: 2}[a] == 1
    assert hash(a) != hash(b)
    assert len({a, b, a}) == 2


# ------------------------------------------------------------------------------ indexing

INDICES = [
    *(0, -1, np.int64(1), np.array(2), mg.tensor(1), True, False, None, Ellipsis, (), (0, 0)),
    *(slice(None, None, -1), slice(5, 0, -2), slice(9, 20), (0, slice(None, None, -2))),
    *((None, 0), (Ellipsis, None), (Ellipsis, 0), (slice(None), 0), (slice(None), None, 0)),
    *(np.array([0, 0, 2]), [0, 0, 2], np.array([0, -4]), np.array([], int), [], [[0, 1], [1, 1]]),
    *((np.array([0, 0]), np.array([1, 1])), ([0, 1], [1, 0]), np.array([0, 0], np.uint8)),
    *((slice(None), np.array([1, 1, -5])), (Ellipsis, np.array([1, 1])), (0, np.array([1, 1]))),
    *((np.array([[0], [1]]), np.array([1, 1, 3])), (np.array([0, 0]), None, np.array([1, 1]))),
    *(X > 5, X[:, 0] > 5, (slice(None), X[1] > 7), [True, False, True, False], X < 0),
    *(
        (X[:, 0] > 5, 2),
        (X[:, 0] > 5, np.array([0, 1, 1])),
        (np.array([0, 0]), slice(None, None, -1)),
    ),
    *(
        mg.tensor([0, 0]),
        mg.tensor([True, False, True, True]),
        (mg.tensor([1, 1]), mg.tensor([2, 2])),
    ),
]


@pytest.mark.parametrize("index", INDICES, ids=lambda index: f"{index!r:.40}")
def test_every_kind_of_index_gives_numpys_values_and_adds_gradients_up(index):
    parts = index if type(index) is tuple else (index,)
    plain = tuple(part.data if isinstance(part, mg.Tensor) else part for part in parts)
    plain = plain if type(index) is tuple else plain[0]
    x, before = leaf(), X.copy()
    y = x[index]
    assert type(y) is mg.Tensor
    assert np.array_equal(y.data, X[plain])
    assert y.shape == X[plain].shape
    g = np.random.default_rng(0).normal(size=y.shape)
    want = np.zeros_like(X)
    np.add.at(want, plain, g)
    assert np.allclose(mg.grad(y, x, g), want, rtol=1e-14, atol=0)
    added = mg.scatter_add(x, index, g).data
    assert np.allclose(added, X + want, rtol=1e-14, atol=0)
    assert np.array_equal(x.data, before)


@pytest.mark.parametrize("index", [1.0, "a", [0.5], np.array([1.0]), (0, 0, 0), np.ones(3, bool)])
def test_what_is_no_index_is_an_index_error(index):
    with pytest.raises(IndexError):
        mg.tensor(X)[index]


def test_item_assignment_raises_and_names_the_functional_ops():
    x = mg.tensor(X)
    with pytest.raises(TypeError, match=r"mg\.where.*mg\.scatter_add"):
        x[0] = 1.0
    with pytest.raises((TypeError, AttributeError)):
        del x[0]
    assert np.array_equal(x, X)


# ------------------------------------------------------------------------- other forms


def test_repr_shows_values_shape_dtype_device_and_the_op_that_made_it():
    assert repr(mg.tensor([1.5, 2.0])) == "tensor([1.5, 2. ], (2,), float32, cpu)"
    assert repr(leaf([1, 2.0])).endswith("requires_grad)")
    for part in ("4., 5.", "(2,)", "float64", "cpu", "multiply"):
        assert part in repr(leaf(np.array([2.0, 2.5])) * 2)
    assert "split" in repr(mg.split(leaf(), 2)[1])
    assert len(repr(mg.zeros(100_000))) < 200
    assert "(0, 3)" in repr(mg.zeros((0, 3)))


def test_deepcopy_makes_a_leaf_of_its_own_with_its_gradient():
    x = leaf()
    (x * 2).sum().backward()
    twin = copy.deepcopy({"a": x})["a"]
    assert twin.requires_grad
    assert not np.shares_memory(twin.data, x.data)
    assert np.array_equal(twin.grad, x.grad)
    (twin * 3).sum().backward()
    assert np.array_equal(x.grad, np.full(X.shape, 2))
    assert not copy.deepcopy(mg.tensor(X)).requires_grad
    with pytest.raises(GradError, match="detach"):
        copy.deepcopy(x * 2)


def test_a_constant_survives_pickling():
    again = pickle.loads(pickle.dumps(mg.tensor(X)))
    assert type(again) is mg.Tensor
    assert np.array_equal(again, X)


def test_a_constant_is_an_array_to_numpy_and_shares_memory():
    x = mg.tensor(X)
    assert np.shares_memory(np.asarray(x), x.data)
    assert not np.shares_memory(np.array(x), x.data)
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.concatenate([x, x]).shape == (8, 6)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float32, copy=False)


def test_a_tensor_that_requires_grad_is_no_array_and_says_the_remedy():
    for x in (leaf(), leaf() * 2):
        with pytest.raises(GradError, match=r"\.detach\(\)"):
            np.asarray(x)
        assert np.asarray(x.detach()).shape == X.shape


def test_numpys_functions_do_not_swallow_tensors():
    assert mg.Tensor.__array_ufunc__ is None
    for call in (lambda: np.exp(leaf()), lambda: np.add(X, leaf()), lambda: np.multiply(leaf(), 2)):
        with pytest.raises(TypeError, match="__array_ufunc__"):
            call()


def test_astype_and_to_keep_the_graph_between_floats_and_return_the_tensor_itself_if_alike():
    x = leaf()
    for y in (x.astype(np.float32), x.to("float32"), x.to(mg.float32)):
        assert y.dtype == np.float32
        g = mg.grad(y.sum(), x)
        assert g.dtype == np.float64
    assert x.to("cpu") is x
    assert x.astype(np.float64) is x
    assert not x.astype(int).requires_grad
