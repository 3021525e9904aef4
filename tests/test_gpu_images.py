"""What draws of arguments do not reach in the GPU's kernels of images."""

import numpy as np
import pytest
from gpu_device import on_device

from minigen.backend.devices import to_numpy
from minigen.kernels import gpu, reference
from minigen.kernels.gpu import convolution
from minigen.testing import assert_close

pytestmark = pytest.mark.usefixtures("device")
rng = np.random.default_rng(0)


def same(name, *args):
    """What the kernel gives on the host, which is close to what its twin gives on the device."""
    want = getattr(reference, name)(*args)
    assert_close(to_numpy(getattr(gpu, name)(*map(on_device, args))), want)
    return want


@pytest.mark.parametrize("block", [1, 700])
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_blocks_of_columns_change_nothing(size, groups, block, monkeypatch):
    monkeypatch.setattr(convolution, "BLOCK_ON_GPU", block)
    x, w = rng.standard_normal((5, 8, 6, 5)), rng.standard_normal((16, 8 // groups, *size))
    how = (1, 1), (0, 0), (1, 1), groups
    y = same("convolve", x, w, rng.standard_normal(16), *how)
    same("convolve_transpose", y, w, rng.standard_normal(8), (6, 5), *how)
    same("convolve_weight", y, x, size, *how)


def test_images_are_not_their_columns_where_they_lost_windows_to_a_border():
    """As many windows as places, but all of them one place further."""
    gy, w = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((3, 2, 1, 1))
    same("convolve_transpose", gy, w, None, (4, 4), (1, 1), (1, 1), (1, 1), 1)


def test_values_at_a_place_are_added_in_order():
    index = rng.integers(0, 5, (3, 70)).astype(np.int32)
    g = rng.standard_normal(index.shape).astype(np.float32)
    got = gpu.scatter_along_rows(on_device(g), on_device(index), 6)
    assert np.array_equal(to_numpy(got), reference.scatter_along_rows(g, index, 6))
