"""Making tensors: dtypes of Python data, copies and views, and the filled and counted ones."""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DTypeError, ShapeError

f32, f64, i64 = np.dtype("float32"), np.dtype("float64"), np.dtype("int64")


# --------------------------------------------------------------------------------- tensor


@pytest.mark.parametrize(
    ("data", "dtype", "values"),
    [
        (1.5, f32, 1.5),
        (2, i64, 2),
        (True, np.bool_, True),
        ([1, 2], i64, [1, 2]),
        ([1, 2.5], f32, [1, 2.5]),
        ([True, 2], i64, [1, 2]),
        ((1.0, 2.0), f32, [1, 2]),
        ([[1, 2], [3, 4.0]], f32, [[1, 2], [3, 4]]),
        ([], f32, []),
        ([[], []], f32, [[], []]),
        (range(3), i64, [0, 1, 2]),
        (np.float64(1.5), f64, 1.5),
        (np.int8(3), np.int8, 3),
        (np.array([1, 2], np.uint8), np.uint8, [1, 2]),
        (np.array(1.5), f64, 1.5),
        ([np.array([1.0, 2.0]), np.array([3.0, 4.0])], f64, [[1, 2], [3, 4]]),
    ],
)
def test_python_floats_become_float32_ints_int64_and_arrays_keep_their_dtype(data, dtype, values):
    x = mg.tensor(data)
    assert type(x) is mg.Tensor
    assert type(x.data) is np.ndarray
    assert x.dtype == dtype
    assert np.array_equal(x, values)
    assert x.shape == np.shape(values)
    assert not x.requires_grad


def test_lists_of_tensors_become_one_detached_tensor():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.tensor([x, x * 2])
    assert (y.shape, y.dtype, y.requires_grad) == ((2, 2), f32, False)
    assert np.array_equal(y, [[1, 2], [2, 4]])


@pytest.mark.parametrize("dtype", ["float64", np.float64, float, f64, mg.float64])
def test_any_name_of_a_dtype_is_understood(dtype):
    assert mg.tensor([1, 2], dtype).dtype == f64
    assert mg.tensor([1, 2]).astype(dtype).dtype == f64
    assert mg.tensor([1, 2]).to(dtype).dtype == f64


def test_tensor_copies_and_detaches_and_the_class_wraps():
    x = np.arange(3.0)
    assert not np.shares_memory(mg.tensor(x).data, x)
    assert mg.Tensor(x).data is x
    assert np.shares_memory(mg.Tensor(x[::2]).data, x)
    leaf = mg.tensor(x, requires_grad=True)
    copy = mg.tensor(leaf * 2)
    assert not copy.requires_grad
    assert not np.shares_memory(mg.tensor(leaf).data, leaf.data)


def test_tensor_of_a_read_only_array_is_writable_and_the_wrap_of_one_is_not():
    x = np.arange(3.0)
    x.flags.writeable = False
    assert mg.tensor(x).data.flags.writeable
    assert not mg.Tensor(x).data.flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        *(None, "a", b"a", 1j, {1: 2}, {1, 2}, [None], ["a"], [1, [2]], 2**70),
        *(np.array([1, None], object), np.ones(2, complex), np.ones(2, np.float16)),
        *(np.ones(2, ">f8"), np.ones(2, np.longdouble), np.zeros(2, [("a", float)])),
        *(np.ma.array([1.0]), [np.ma.array([1.0, 2.0], mask=[0, 1])], np.array(["2020"], "M8[D]")),
    ],
    ids=lambda data: f"{type(data).__name__} {getattr(data, 'dtype', data)!r:.20}",
)
@pytest.mark.parametrize("make", [mg.tensor, mg.Tensor])
def test_objects_complex_masked_and_other_dtypes_are_a_dtype_error(make, data):
    with pytest.raises(DTypeError):
        make(data)


@pytest.mark.parametrize(
    "data", [[1j], np.array([1, None], object), ["1.5"], np.ma.array([1.0])], ids=repr
)
def test_naming_a_dtype_does_not_let_objects_complex_text_or_masked_in(data):
    with pytest.raises(DTypeError):
        mg.tensor(data, dtype=np.float32)


@pytest.mark.parametrize("dtype", ["float16", complex, object, ">f4", "foo", "U3", np.longdouble])
def test_an_unknown_or_unsupported_dtype_is_a_dtype_error_everywhere(dtype):
    makers = (mg.zeros, mg.ones, mg.arange, mg.eye, lambda n, dtype: mg.full(n, 1, dtype))
    for make in makers:
        with pytest.raises(DTypeError):
            make(2, dtype=dtype)
    for convert in (mg.ones(2).astype, lambda dtype: mg.tensor([1.0], dtype)):
        with pytest.raises(DTypeError):
            convert(dtype)


def test_the_wrap_of_a_tensor_that_requires_grad_is_refused_not_cut_silently():
    with pytest.raises(RuntimeError, match="detach"):
        mg.Tensor(mg.ones(2, requires_grad=True))


# --------------------------------------------------------------------------------- filled


def test_zeros_and_ones_are_float32_of_the_shape():
    for make, value in ((mg.zeros, 0), (mg.ones, 1)):
        for shape in (3, (3,), (2, 0), (), [2, 3]):
            x = make(shape)
            assert x.dtype == f32
            assert np.array_equal(x, np.full(shape, value))
        assert make(2, np.int8).dtype == np.int8
        leaf = make(2, mg.float64, "cpu", True)
        assert (leaf.dtype, leaf.device, leaf.requires_grad) == (f64, "cpu", True)


@pytest.mark.parametrize("make", [mg.zeros, mg.ones, mg.eye])
def test_no_dtype_named_as_none_is_float32_or_refused(make):
    try:
        x = make(2, dtype=None)
    except DTypeError:
        return
    assert x.dtype == f32


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(1.5, f32), (3, i64), (True, np.bool_), (np.float64(3), f64), (np.int8(3), np.int8)],
)
def test_full_takes_the_dtype_of_its_value(value, dtype):
    x = mg.full((2, 1), value)
    assert x.dtype == dtype
    assert np.array_equal(x, np.full((2, 1), value))
    assert mg.full((2, 1), value, mg.float64).dtype == f64


def test_zeros_like_and_ones_like_keep_shape_and_dtype_and_no_graph():
    for x in (mg.tensor([1.0, 2.0], requires_grad=True), np.ones((2, 3)), mg.tensor([1])):
        for make, value in ((mg.zeros_like, 0), (mg.ones_like, 1)):
            y = make(x)
            assert (y.shape, y.dtype, y.requires_grad) == (x.shape, x.dtype, False)
            assert (y == value).all()
            assert make(x, np.int8).dtype == np.int8


@pytest.mark.parametrize(
    ("args", "dtype"),
    [
        ((3,), i64),
        ((1, 4), i64),
        ((5, 0, -2), i64),
        ((3.0,), f32),
        ((0, 1, 0.25), f32),
        ((0,), i64),
    ],
)
def test_arange_counts_as_numpys_in_int64_or_float32(args, dtype):
    x = mg.arange(*args)
    assert x.dtype == dtype
    assert np.array_equal(x, np.arange(*args))
    assert mg.arange(*args, dtype=mg.float64).dtype == f64


def test_linspace_and_eye_are_numpys_in_float32():
    for got, want in (
        (mg.linspace(0, 1, 5), np.linspace(0, 1, 5)),
        (mg.linspace(1, 1, 1), [1]),
        (mg.eye(2), np.eye(2)),
        (mg.eye(2, 3), np.eye(2, 3)),
    ):
        assert got.dtype == f32
        assert np.array_equal(got, want)
    assert mg.linspace(0, 1).shape == (50,)


def test_one_hot_gives_rows_of_the_identity():
    for index in (np.array([[0, 2]]), mg.tensor([[0, 2]]), [[0, 2]]):
        x = mg.one_hot(index, 3)
        assert x.dtype == f32
        assert np.array_equal(x, [[[1, 0, 0], [0, 0, 1]]])
    assert np.array_equal(mg.one_hot(1, 2), [0, 1])
    assert mg.one_hot(np.zeros((0, 2), int), 3).shape == (0, 2, 3)
    with pytest.raises(ShapeError, match="num_classes"):
        mg.one_hot(np.array([0]), 0)


@pytest.mark.parametrize("make", [mg.zeros, mg.ones, lambda shape: mg.full(shape, 1)])
@pytest.mark.parametrize("shape", [-1, (2, -1), 2.5, "a", None])
def test_a_shape_that_is_none_is_refused(make, shape):
    with pytest.raises((ValueError, TypeError)):
        make(shape)


# --------------------------------------------------------------------------------- DLPack


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint8", "bool"])
def test_dlpack_out_and_in_share_memory(dtype):
    x = mg.ones((2, 3), dtype)
    out = np.from_dlpack(x)
    assert np.shares_memory(out, x.data)
    back = mg.from_dlpack(x.data[:, ::2])
    assert type(back) is mg.Tensor
    assert np.shares_memory(back.data, x.data)
    assert np.array_equal(back, x.data[:, ::2])
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_refuses_a_tensor_that_requires_grad_and_dtypes_that_are_not():
    with pytest.raises(RuntimeError, match="detach"):
        np.from_dlpack(mg.ones(2, requires_grad=True))
    for dtype in (np.float16, complex):
        with pytest.raises(DTypeError):
            mg.from_dlpack(np.ones(2, dtype))
    assert mg.from_dlpack(mg.ones(2, requires_grad=True).detach()).shape == (2,)
