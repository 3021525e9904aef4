"""Corners and far ends on the device: value and two derivatives are those of the CPU, NaN too.

The draws of `test_gpu_ops.py` stay away from them.
"""

from math import inf

import numpy as np
import pytest
from gpu_device import on_device

import minigen as mg
from minigen.backend.arrays import is_cupy
from minigen.backend.devices import to_numpy
from minigen.testing import assert_close

pytestmark = pytest.mark.usefixtures("device")

ZEROS, FAR = np.array([0.0, -0.0, 1.0, -2.0, 3.0]), np.array([-inf, -1e20, 0.0, 1e20, inf])
SMALL, ROWS = np.array([[1e-4], [-1e-8], [0.3]]), np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -inf]])
T, C = np.array([0.0, 1.0, 0.5, 0.0, 1.0]), np.array([0.5, 2.0, 0.0])
CASES = {  # a function of x, and the constants that it takes, which are brought to the device
    "x ** 0": (lambda x: x**0, ZEROS),
    "x ** 1.5": (lambda x: x**1.5, ZEROS),
    "x ** b": (lambda x, b: x**b, ZEROS, np.array([0.0, 1.0, 2.0, 2.0, 0.0])),
    "2 ** x": (lambda x: 2.0**x, ZEROS),
    "0 ** x": (lambda x: 0**x, np.abs(ZEROS)),
    "norm of order 0.5": (lambda x: mg.norm(x, 0.5), ZEROS),
    "norm of order 3": (lambda x: mg.norm(x, 3), ZEROS),
    "norm of 0": (lambda x: mg.norm(x), 0 * ZEROS),
    "gelu": (mg.gelu, FAR),
    "gelu by tanh": (lambda x: mg.gelu(x, "tanh"), FAR),
    "silu": (mg.silu, FAR),
    "erf": (mg.erf, FAR),
    "elu": (mg.elu, FAR),
    "BCE": (lambda x, t: mg.binary_cross_entropy_with_logits(x, t, reduction="none"), FAR, T),
    "BCE with pos_weight": (
        lambda x, t: mg.binary_cross_entropy_with_logits(x, t, pos_weight=2.0, reduction="none"),
        FAR,
        T,
    ),
    "gaussian_kl": (lambda x: mg.gaussian_kl(0 * x, x), SMALL),
    "huber": (lambda x: mg.huber_loss(x, 0 * x, "none", 2.0), ZEROS),
    "class weights": (lambda x, w: mg.cross_entropy(x, [0, 1], w, label_smoothing=0.0), ROWS, C),
    "a list of targets": (lambda x: mg.nll_loss(x, [2, -100]), ROWS),
    "gather": (lambda x: mg.gather(x, 1, [[2, 2]]), ROWS),
    "take_along_axis": (lambda x: mg.take_along_axis(x, [[1], [0]], 1), ROWS),
    "sort": (lambda x: mg.sort(x, descending=True)[0] ** 2, ROWS),
    "topk": (lambda x: mg.topk(x, 2, largest=False)[0] ** 2, ZEROS),
    "clip": (lambda x, high: mg.clip(x, -0.5, high) ** 2, ROWS, C),
    "getitem": (lambda x: x[:, [0, 1, 1]] ** 2, ROWS),
    "scatter_add": (lambda x: mg.scatter_add(x, [0, 0], 2.0) ** 2, ZEROS),
    "where": (lambda x: mg.where(x > 0, 1.0, 0.0) * x * x, ZEROS),
    "a scalar of NumPy": (lambda x: x * np.float64(2) / np.sqrt(64) * x, ZEROS),
}


def results(f, x, constants):
    """The value, and the first and second derivative."""
    x = mg.Tensor(x).requires_grad_()
    y = f(x, *constants)
    ones = mg.ones_like(y)
    first = mg.grad(y, x, ones, create_graph=True)
    if not first.requires_grad:
        return [y.data, first.data]
    second = mg.grad(first, [x], mg.ones_like(first), allow_unused=True)
    return [z.data for z in (y, first, *second) if z is not None]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_corners_and_far_ends_of_the_device_are_those_of_the_cpu(name, dtype):
    f, x, *constants = CASES[name]
    x, *constants = (array.astype(dtype) for array in (x, *constants))
    with np.errstate(all="ignore"):
        want = results(f, x, constants)
        found = results(f, on_device(x), [on_device(c) for c in constants])
    assert len(found) == len(want)
    for y, w in zip(found, want):
        assert is_cupy(y)
        assert_close(to_numpy(y), w, 1e-11 if dtype == np.float64 else 1e-5)
