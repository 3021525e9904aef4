"""Elementwise kernels of `gpu/` at infinities, NaN and large numbers, and on mixed operands."""

import math

import numpy as np
import pytest

from minigen.backend.devices import to_device, to_numpy
from minigen.kernels import gpu, reference
from minigen.testing import assert_close
from minigen.testing.closeness import FORWARD, GRADIENT

VALUES = (math.nan, math.inf, -math.inf, 0.0, -0.0, 2.5, 1e4, -1e4, 88.8, -88.8, 750.0, -750.0)
BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
pytestmark = pytest.mark.usefixtures("device")


def assert_twins(name, *args):
    limits = GRADIENT if name.endswith("_vjp") else FORWARD
    with np.errstate(all="ignore"):
        want = getattr(reference, name)(*args)
    on_device = [to_device(x, "cuda") if isinstance(x, np.ndarray) else x for x in args]
    assert_close(to_numpy(getattr(gpu, name)(*on_device)), want, limits.get(want.dtype, 0.0))


@BOTH_DTYPES
@pytest.mark.parametrize(
    "name", ["erf", "relu", "sigmoid", "softplus", "gelu", "silu", "gelu_tanh"]
)
def test_one_operand(name, dtype):
    assert_twins(name, np.array(VALUES, dtype))


@BOTH_DTYPES
@pytest.mark.parametrize("name", ["relu_vjp", "gelu_vjp", "silu_vjp", "gelu_tanh_vjp"])
def test_slopes(name, dtype):
    x = np.array(VALUES, dtype)
    assert_twins(name, np.full_like(x, 0.5), x)


@BOTH_DTYPES
def test_leaky_relu(dtype):
    x = np.array(VALUES, dtype)
    assert_twins("leaky_relu", x, 0)  # a whole number for a slope, too
    assert_twins("leaky_relu_vjp", np.full_like(x, 0.5), x, 0.1)


@BOTH_DTYPES
def test_loss_with_logits_broadcasts(dtype):
    x, t = np.array(VALUES, dtype), np.array([[0.0], [0.5], [1.0]], dtype)
    assert_twins("bce_with_logits", x, t)
    assert_twins("bce_with_logits_vjp", np.full(3, 0.5, dtype)[:, None], x, t)


def test_other_operands_get_what_the_reference_gives():
    x, whole = np.array(VALUES), np.arange(-3, 3)
    assert_twins("relu", whole)
    assert_twins("leaky_relu", whole, 0.1)
    assert_twins("bce_with_logits", x, np.full(len(x), 0.3, np.float32))
    assert_twins("relu_vjp", np.full(len(x), 0.3, np.float32), x)
