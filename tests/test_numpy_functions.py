"""NumPy's functions of tensors, and clip with bounds that are tensors."""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import GradError
from minigen.testing import assert_close, gradcheck

X = np.array([[1.0, -2.0, 3.5], [0.5, 4.0, -1.0]])


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (np.sum, {}),
        (np.sum, {"axis": 0, "keepdims": True}),
        (np.mean, {"axis": 1}),
        (np.max, {}),
        (np.min, {"axis": 0}),
        (np.prod, {}),
        (np.var, {"axis": 1, "ddof": 1}),
        (np.std, {}),
        (np.cumsum, {"axis": 0}),
        (np.clip, {"a_min": 0, "a_max": 1}),
        (np.argmax, {"axis": 1}),
        (np.argmin, {}),
        (np.any, {}),
        (np.all, {"axis": 0}),
        (np.round, {"decimals": 1}),
        (np.transpose, {}),
        (np.squeeze, {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_function_of_numpy_that_calls_a_method_gives_a_tensor_with_its_gradient(
    function, options
):
    x = mg.tensor(X, requires_grad=True)
    y = function(x, **options)
    assert type(y) is mg.Tensor
    assert_close(y.data, np.asarray(function(X, **options)))
    if y.dtype.kind == "f" and function is not np.round:
        assert y.requires_grad


@pytest.mark.parametrize(
    "call", [lambda x: np.stack([x, x]), np.sort, np.linalg.norm, lambda x: np.where(x > 0, x, 0)]
)
def test_another_function_of_numpy_says_what_to_use_for_a_tensor_that_requires_grad(call):
    with pytest.raises(GradError, match=r"minigen's function.*mg\.stack.*detach"):
        call(mg.tensor(X, requires_grad=True))
    assert isinstance(call(mg.tensor(X)), np.ndarray | np.generic)


# ------------------------------------------------------------------------------------ clip

LOW, HIGH = np.array([0.0, -3.0, 1.0]), np.array([[2.0], [0.75]])


@pytest.mark.parametrize("low", [None, -0.25, LOW], ids=["none", "number", "array"])
@pytest.mark.parametrize("high", [None, 0.75, HIGH], ids=["none", "number", "array"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clip_takes_bounds_that_are_numbers_arrays_or_tensors(low, high, dtype):
    arrays = [b.astype(dtype) if isinstance(b, np.ndarray) else b for b in (low, high)]
    tensors = [mg.tensor(b) if isinstance(b, np.ndarray) else b for b in arrays]
    x = X.astype(dtype)
    want = x if low is high is None else np.clip(x, *arrays)
    for y in (mg.clip(x, *arrays), mg.clip(mg.tensor(x), *arrays), mg.tensor(x).clip(*tensors)):
        assert y.dtype == dtype and np.array_equal(y, want)
    assert np.array_equal(mg.clip(x, *tensors), want)


def test_clip_gives_the_gradient_to_what_it_took_as_pytorch_does():
    x = mg.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0], requires_grad=True)
    low = mg.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 5.0], requires_grad=True)
    high = mg.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 4.0], requires_grad=True)
    y = mg.clip(x, low, high)
    assert y.data.tolist() == [0, 0, 0.5, 1, 1, 4]  # at last low is above high, which wins
    gradients = mg.grad(y, [x, low, high], np.ones(6, np.float32))
    assert [g.data.tolist() for g in gradients] == [
        [0, 1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
    ]


def test_clip_with_bounds_that_broadcast_has_right_derivatives():
    gradcheck(lambda x, low, high: mg.clip(x, low, high) ** 3, [X, LOW - 0.1, HIGH + 0.1])
