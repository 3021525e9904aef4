"""Every op, drawn: its values and its first derivatives (properties 1 to 7 and 11)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen import ops
from minigen.testing import ownership, properties
from minigen.testing.cases import CASES, DIFFERENTIABLE
from minigen.testing.memory import LAYOUTS
from minigen.testing.strategies import op_calls

every_op = pytest.mark.parametrize("name", CASES)
every_differentiable_op = pytest.mark.parametrize("name", DIFFERENTIABLE)


def check(name, data, *checks):
    """Draw a call and run checks over it."""
    call, rng = data.draw(op_calls(name))
    for one in checks:
        one(call, rng)


@every_op
@given(data=st.data())
def test_forward_equals_the_reference(name, data):
    call, _ = data.draw(op_calls(name))
    properties.forward_equals_reference(call)


@every_differentiable_op
@given(data=st.data())
def test_gradient_equals_the_numerical_derivative(name, data):
    check(name, data, properties.gradient_equals_numerical_derivative)


@every_differentiable_op
@given(data=st.data())
def test_float32_gradient_equals_the_float64_one(name, data):
    check(name, data, properties.float32_gradient_equals_float64)


@every_differentiable_op
@given(data=st.data())
def test_vjp_is_the_transpose_of_the_jvp(name, data):
    check(name, data, properties.dot_products_agree)


@every_differentiable_op
@given(data=st.data())
def test_vjp_is_linear_in_the_cotangent(name, data):
    check(name, data, properties.vjp_is_linear)


@every_differentiable_op
@given(data=st.data())
def test_gradient_owns_its_memory_and_no_input_is_written(name, data):
    check(name, data, ownership.gradient_owns_its_memory, ownership.inputs_are_not_written)
    check(name, data, ownership.memory_is_left_alone)


@every_differentiable_op
@given(data=st.data())
def test_every_memory_layout_gives_the_same(name, data):
    call, rng = data.draw(op_calls(name))
    layouts = data.draw(st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=3))
    properties.layout_makes_no_difference(call, rng, layouts)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name in ops.__all__])
@given(data=st.data())
def test_integers_and_booleans_have_no_gradient(name, data):
    call, rng = data.draw(op_calls(name))
    properties.integers_have_no_gradient(
        call, rng, data.draw(st.sampled_from((np.int64, np.int8, bool)))
    )
