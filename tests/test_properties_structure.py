"""Every op, drawn: broadcasting, outputs, orders, fused paths and `saves` (8 to 10, 14, 15)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen as mg
from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY, Primitive, primitive
from minigen.testing import assert_close, gradcheck, properties, shapes
from minigen.testing.cases import CASES, DIFFERENTIABLE, names_without_case
from minigen.testing.pullback import vjp
from minigen.testing.strategies import op_calls

BROADCASTING = [name for name in DIFFERENTIABLE if REGISTRY[name].domain or name == "where"]
UNARY = [name for name in BROADCASTING if len(REGISTRY[name].signature.arrays) == 1]
SEVERAL = [name for name in DIFFERENTIABLE if CASES[name].returns_tuple]
every_differentiable_op = pytest.mark.parametrize("name", DIFFERENTIABLE)
FUSED = [name for name, op in REGISTRY.items() if isinstance(op, Fused)]


def check(name, data, *checks):
    """Draw a call and run checks over it."""
    call, rng = data.draw(op_calls(name))
    for one in checks:
        one(call, rng)


def test_every_op_has_a_case():
    assert names_without_case() == []


@pytest.mark.parametrize("name", [name for name in BROADCASTING if name not in UNARY])
@given(data=st.data())
def test_broadcasting_sums_the_gradient_over_the_copies(name, data):
    check(name, data, properties.broadcasting_sums_the_gradient)


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
def test_a_gradient_flows_through_an_explicit_broadcast(name, data):
    call, rng = data.draw(op_calls(name))
    (x,) = call.arrays
    shape = (*data.draw(shapes(max_dims=2, max_side=3)), *x.shape)
    wide = np.broadcast_to(x, shape)
    g = rng.standard_normal(shape)
    (found,) = properties.gradients(lambda x: call(mg.broadcast_to(x, shape)), [x], [g])
    (each,) = properties.gradients(call, [wide], [g])
    assert_close(found, np.asarray(each.sum(tuple(range(len(shape) - x.ndim)))), 1e-11)


@pytest.mark.parametrize("name", SEVERAL)
@given(data=st.data())
def test_each_output_alone_with_the_others_silent(name, data):
    check(name, data, properties.each_output_alone)


@every_differentiable_op
@settings(max_examples=max(3, settings().max_examples // 2))
@given(data=st.data())
def test_higher_orders_equal_the_numerical_derivative_of_the_gradient(name, data):
    check(name, data, properties.higher_orders_equal_numerical_derivative)


@every_differentiable_op
@given(data=st.data())
def test_hessian_is_symmetric(name, data):
    check(name, data, properties.hessian_is_symmetric)


@pytest.mark.parametrize("name", FUSED)
@given(data=st.data())
def test_fused_path_equals_its_definition(name, data):
    check(name, data, properties.fused_equals_its_definition)


@every_differentiable_op
@given(data=st.data())
def test_rules_read_only_what_they_declared_to_save(name, data):
    check(name, data, properties.rules_read_only_saved_values)


# ------------------------------------------------------------------- ops that tests declare


def test_a_rule_that_reads_what_it_did_not_declare_fails():
    @primitive(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, saves=("b", ""))
    def dishonest(a, b):
        return a * b

    a, b = np.array([1.0, 2.0]), mg.tensor(np.array([3.0, 4.0]), requires_grad=True)
    for create_graph in (False, True):
        with pytest.raises((TypeError, AttributeError)):
            vjp(lambda b: dishonest(a, b), [b], [np.ones(2)], create_graph)


def test_an_op_with_several_outputs_gets_none_where_there_is_no_cotangent():
    seen = []

    def rule(gs, ys, x):
        seen.append([g is None for g in gs])
        double, triple = gs
        parts = [c * g for c, g in ((2.0, double), (3.0, triple)) if g is not None]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @primitive(rule)
    def multiples(x):
        return 2.0 * x, 3.0 * x

    x = np.array([1.0, -2.0])
    gradcheck(multiples, x)
    seen.clear()
    for i, factor in enumerate((2.0, 3.0)):
        (g,) = vjp(lambda x, i=i: multiples(x)[i], [x], [np.ones(2)])
        assert_close(g, np.full(2, factor))
    assert seen == [[False, True], [True, False]]


def test_a_new_public_op_without_a_case_is_noticed():
    @primitive(lambda g, y, x: g)
    def nameless(x):
        return x

    assert names_without_case() == ["nameless"]


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if isinstance(op, Primitive)])
def test_every_primitive_declares_one_rule_for_each_array(name):
    op = REGISTRY[name]
    assert op.signature.variadic or len(op.rules) == len(op.signature.arrays)
