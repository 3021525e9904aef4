"""Every op on the device: its values and derivatives are those of the CPU.

What the CPU's are held against is in `test_properties.py`; here arrays of the host and of the
device may not mix, nothing may go to the host unasked, and CuPy must have what is called.
"""

import numpy as np
import pytest
from gpu_device import on_device
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.backend.arrays import is_cupy
from minigen.backend.devices import to_numpy
from minigen.tensors import Tensor
from minigen.testing import assert_close, properties
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices
from minigen.testing.closeness import FORWARD, GRADIENT, SECOND_ORDER
from minigen.testing.pullback import as_tuple, gradient_function, vjp
from minigen.testing.strategies import op_calls

pytestmark = pytest.mark.usefixtures("device")


def agree(got, want, limits):
    """What the device computed is there, and equals what the CPU computed."""
    assert len(got) == len(want)
    for y, w in zip(got, want):
        y, w = (x.data if isinstance(x, Tensor) else x for x in (y, w))
        assert is_cupy(y)
        assert_close(to_numpy(y), w, limits.get(w.dtype, 0.0))


def on_both(f, inputs, gs):
    """vjp(f, inputs, gs) on the device and on the CPU."""
    there = [[on_device(x) for x in arrays] for arrays in (inputs, gs)]
    return vjp(f, *there), vjp(f, inputs, gs)


OF_BITS = ("bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor")  # take no floats


@pytest.mark.parametrize("name", [n for n in CASES if n != "to_device" and n not in OF_BITS])
@settings(max_examples=max(settings.default.max_examples // 9, 1))
@given(data=st.data())
def test_values_and_derivatives_of_the_device_are_those_of_the_cpu(name, data):
    call, rng = data.draw(op_calls(name))
    for xs in (call.arrays, call.in_float32()):
        with np.errstate(all="ignore"):
            want = [np.asarray(y) for y in call(*xs)]
        agree(call(*map(on_device, xs)), want, FORWARD)
    if call.case.raw:
        return
    gs = properties.cotangents(call, rng)
    us = [rng.uniform(-1, 1, x.shape) for x in call.arrays]
    with np.errstate(all="ignore"):
        agree(*on_both(call, call.arrays, gs), GRADIENT)
        pulled = gradient_function(call, len(us))
        agree(*on_both(pulled, [*call.arrays, *gs], us), SECOND_ORDER)


@pytest.mark.parametrize("name", OF_BITS)
def test_bits_combine_on_the_device(name):
    call = draw_call(name, Choices(1))
    args, _ = call.with_arrays([])
    agree(as_tuple(call.op.function(*map(on_device, args))), call.reference(), FORWARD)
