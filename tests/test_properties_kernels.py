"""Each kernel of `cpu/` against its twin in `reference/`, in every memory layout (14)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_draws import DRAWS, WRITTEN, cast, outputs

from minigen import kernels
from minigen.kernels import reference
from minigen.testing import assert_close
from minigen.testing.case import as_arrays
from minigen.testing.closeness import FORWARD, GRADIENT
from minigen.testing.memory import LAYOUTS, in_layout
from minigen.testing.strategies import drawn

cpu = pytest.importorskip("minigen.kernels.cpu")


KERNELS = [name for name in vars(kernels) if callable(getattr(reference, name, None))]
KERNELS = [name for name in KERNELS if name != "array_module"]
TWINS = [name for name in KERNELS if name in DRAWS and hasattr(cpu, name)]


def test_every_kernel_has_a_draw():
    assert sorted(KERNELS) == sorted(DRAWS)


def laid_out(x, layout):
    return in_layout(x, layout) if isinstance(x, np.ndarray) else x


def contiguous(x):
    return np.array(x, order="C") if isinstance(x, np.ndarray) else x


def as_bytes(x):
    return x.tobytes() if isinstance(x, np.ndarray) else x


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", TWINS)
@given(data=st.data())
def test_kernel_equals_its_reference_in_every_layout(name, dtype, data):
    args = as_arrays(data.draw(drawn(DRAWS[name])))
    args = [cast(x, dtype) for x in args]
    layouts = data.draw(st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=3))
    written = WRITTEN.get(name, ())
    laid = []
    for i, x in enumerate(args):
        layout = layouts[i % len(layouts)]
        if i in written and layout in ("read-only", "stride 0"):
            layout = "reversed"
        if name == "batch_norm" and layout == "stride 0":
            layout = "reversed"  # one image many times has no variance: rounding, made large
        laid.append(laid_out(x, layout))
    plain = [contiguous(x) for x in laid]
    before = [as_bytes(x) for x in laid]
    limits = GRADIENT if name.endswith("_vjp") else FORWARD
    got = outputs(getattr(cpu, name), laid, written)
    want = outputs(getattr(reference, name), plain, written)
    assert len(got) == len(want)
    for y, w in zip(got, want):
        assert_close(y, w, limits.get(np.asarray(w).dtype, 0.0))
    after = [as_bytes(x) for x in laid]
    assert all(i in written or a == b for i, (a, b) in enumerate(zip(after, before)))
