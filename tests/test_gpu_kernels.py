"""Each kernel of `gpu/` against its twin in `reference/`, in every memory layout (14)."""

from copy import copy

import numpy as np
import pytest
from gpu_device import LAYOUTS, on_device
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_draws import DRAWS, WRITTEN, cast, outputs

from minigen.backend.arrays import is_cupy
from minigen.backend.devices import to_numpy
from minigen.kernels import gpu, reference
from minigen.testing import assert_close
from minigen.testing.case import as_arrays
from minigen.testing.closeness import FORWARD, GRADIENT
from minigen.testing.strategies import drawn

TWINS = [name for name in DRAWS if hasattr(gpu, name)]
pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", TWINS)
@settings(max_examples=max(settings.default.max_examples // 4, 1))
@given(data=st.data())
def test_gpu_kernel_equals_its_reference_in_every_layout(name, dtype, data):
    args = as_arrays(data.draw(drawn(DRAWS[name])))
    args = [cast(x, dtype) for x in args]
    layouts = data.draw(st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=3))
    written = WRITTEN.get(name, ())
    laid = [on_device(x, layouts[i % len(layouts)]) for i, x in enumerate(args)]
    limits = GRADIENT if name.endswith("_vjp") else FORWARD
    plain = [copy(x) for x in args]
    with np.errstate(all="ignore"):
        want = outputs(getattr(reference, name), plain, written)
    got = outputs(getattr(gpu, name), laid, written)
    assert len(got) == len(want)
    for y, w in zip(got, want):
        assert is_cupy(y)
        assert_close(to_numpy(y), w, limits.get(np.asarray(w).dtype, 0.0))
    for i, (x, before) in enumerate(zip(laid, args)):
        if is_cupy(x) and i not in written:
            assert np.array_equal(to_numpy(x), before, equal_nan=True), f"argument {i} was written"


def test_scatter_rows_passes_over_rows_that_do_not_exist():
    out, updates = np.ones((2, 3)), np.arange(12.0).reshape(4, 3)
    got = gpu.scatter_rows(*map(on_device, (out, np.array([1, -1, 2, 1]), updates)))
    assert to_numpy(got).tolist() == [[1, 1, 1], [10, 12, 14]]
