"""A kernel computes the same bits wherever its arrays lie in memory."""

from importlib import import_module

import numpy as np
import pytest

pytest.importorskip("minigen.kernels.cpu")
softmax = import_module("minigen.kernels.cpu.softmax")

GAPS = (0, 16, 64, 208, 1024)  # bytes between the end of the argument and the result


@pytest.mark.parametrize(
    "kernel", [softmax._softmax, softmax._log_softmax], ids=["softmax", "log_softmax"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_result_beside_its_argument_has_the_bits_of_one_far_away(kernel, dtype):
    rng = np.random.default_rng(0)
    for columns in (3, 5, 8, 13, 33):
        x = rng.normal(size=(4, columns)).astype(dtype)
        far = np.empty((100, *x.shape), dtype)[-1]
        kernel(x, far)
        for gap in GAPS:
            memory = np.empty(2 * x.size + gap // x.itemsize, dtype)
            argument, result = (
                part.reshape(x.shape) for part in (memory[: x.size], memory[-x.size :])
            )
            argument[...] = x
            kernel(argument, result)
            assert np.array_equal(result, far), (columns, gap)
