"""Sums of many float32 terms on a GPU are right to 1e-5, as on the CPU: see test_sums.py."""

import numpy as np
import pytest
from gpu_device import on_device
from many_terms import close, tenths

import minigen as mg
from minigen.backend.devices import to_numpy
from minigen.kernels import gpu

pytestmark = pytest.mark.usefixtures("device")
N = 30_000
TENTH = float(np.float32(0.1))


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_sums_over_axes(axis):
    for x in (tenths(N, 3), tenths(3, N), tenths(N // 20, 3, 20)):
        want = np.asarray(x.sum(axis, dtype=np.float64))
        axes = axis if isinstance(axis, tuple) else (axis,)
        assert close(np.asarray(to_numpy(gpu.sum_over(on_device(x), axes))), want)
        assert close(np.asarray(to_numpy(mg.sum(on_device(x), axis))), want)


def test_additions_to_one_row():
    index = on_device(np.full(N, 1))
    y = gpu.scatter_rows(on_device(np.zeros((3, 1), np.float32)), index, on_device(tenths(N, 1)))
    assert close(to_numpy(y), np.array([[0.0], [N * TENTH], [0.0]]))
    index = np.full((1, N), 2, np.int32)
    y = gpu.scatter_along_rows(on_device(tenths(1, N)), on_device(index), 3)
    assert close(to_numpy(y), np.array([[0.0, 0.0, N * TENTH]]))


def test_products_cumulative_sums_and_einsum():
    x = on_device(tenths(N, 2))
    assert close(to_numpy(gpu.matmul(x.T, x)), np.full((2, 2), N * TENTH**2))
    assert close(to_numpy(mg.einsum("ij,ij->j", x, x)), np.full(2, N * TENTH**2))
    assert close(to_numpy(mg.cumsum(x, 0))[-1], np.full(2, N * TENTH))


def test_rows_and_channels_with_a_large_mean():
    x = (np.random.default_rng(0).standard_normal((3, 600)) + 1e5).astype(np.float32)
    variance = x.astype(np.float64).var(1)
    hat = (x - x.mean(1, keepdims=True, dtype=np.float64)) / np.sqrt(variance + 1e-5)[:, None]
    y, mean, _ = gpu.layer_norm(on_device(x), None, None, 1e-5)
    assert close(to_numpy(y), hat) and close(to_numpy(mean)[:, 0], x.mean(1, dtype=np.float64))
    _, _, found, _ = gpu.batch_norm(on_device(x[None]), None, None, 1e-5)
    assert close(to_numpy(found), variance)
