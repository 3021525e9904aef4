"""Every op on the device: its values and derivatives are those of the CPU.

What the CPU's are held against is in `test_properties.py`; here arrays of the host and of the
device may not mix, nothing may go to the host unasked, and CuPy must have what is called.
"""

import numpy as np
import pytest
from gpu_device import on_device
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.backend import is_cupy, to_numpy
from minigen.testing import assert_close
from minigen.testing.cases import CASES, DIFFERENTIABLE
from minigen.testing.closeness import FORWARD, GRADIENT, SECOND_ORDER
from minigen.testing.pullback import gradient_function, vjp
from minigen.testing.strategies import op_calls

pytestmark = pytest.mark.usefixtures("device")
few = settings(max_examples=max(settings.default.max_examples // 9, 1))


def same(got, want, limits):
    """The results of the device are there, and equal to the CPU's."""
    assert len(got) == len(want)
    for y, w in zip(got, want):
        y, w = (getattr(x, "data", x) if not isinstance(x, np.ndarray) else x for x in (y, w))
        assert is_cupy(y) or not isinstance(w, np.ndarray)
        assert_close(to_numpy(y), w, limits.get(np.asarray(w).dtype, 0.0))
