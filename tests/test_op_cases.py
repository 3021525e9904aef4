"""The table of cases: that it is complete, and that what it draws reaches what it should."""

import numpy as np
import pytest

import minigen as mg
from minigen import ops
from minigen.autodiff.primitives import REGISTRY
from minigen.autodiff.trace import Observer, observed
from minigen.ops.elementwise import elementwise
from minigen.testing import assert_close, gradcheck
from minigen.testing.case import Call
from minigen.testing.cases import CASES, DIFFERENTIABLE, draw_call, names_without_case
from minigen.testing.cases_elementwise import cases_from_numpy
from minigen.testing.choices import Choices
from minigen.testing.properties import check_call

SEEDS = range(40)


def drawn_calls(name):
    return [draw_call(name, Choices(seed)) for seed in SEEDS]


def test_every_public_op_has_a_case_and_every_case_an_op():
    assert names_without_case() == []
    assert set(ops.__all__) <= CASES.keys() <= REGISTRY.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_identity_seed_draws_the_same_call(name):
    assert repr(draw_call(name, Choices(3))) == repr(draw_call(name, Choices(3)))


@pytest.mark.parametrize("name", CASES)
def test_calls_are_of_float64_and_not_large(name):
    for call in drawn_calls(name):
        assert all(type(x) is np.ndarray and x.dtype == np.float64 for x in call.arrays)
        assert (call.arrays or CASES[name].raw) and all(x.size <= 200 for x in call.arrays)
        assert CASES[name].raw or all(np.abs(x).max(initial=0) <= 7 for x in call.arrays)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_reference_takes_complex_arrays(name):
    call = draw_call(name, Choices(5))
    with np.errstate(all="ignore"):
        call.reference(*[x + 1e-30j for x in call.arrays])


@pytest.mark.parametrize("name", ["add", "multiply", "sum", "reshape", "exp", "getitem", "pad"])
def test_0d_and_empty_arrays_are_drawn(name):
    shapes = [x.shape for call in drawn_calls(name) for x in call.arrays]
    assert () in shapes and any(0 in shape for shape in shapes)


def test_axes_are_drawn_in_every_form():
    axes = [call.with_arrays(call.arrays)[1].get("axis", "left out") for call in drawn_calls("sum")]
    assert {type(axis) for axis in axes} == {str, type(None), int, tuple}
    assert () in axes and any(type(axis) is int and axis < 0 for axis in axes)


def test_every_kind_of_index_is_drawn():
    found = set()
    for seed in range(200):
        index = draw_call("getitem", Choices(seed)).with_arrays([np.zeros(())])[0][1]
        for part in index if type(index) is tuple else (index,):
            found.add(part.dtype.kind if isinstance(part, np.ndarray) else type(part).__name__)
    assert found == {"i", "b", "int", "slice", "list", "tuple", "NoneType", "ellipsis"}


class Called(Observer):
    def __init__(self):
        super().__init__()
        self.names = set()

    def watched(self, op):
        self.names.add(op.forward.__name__)
        return op.forward


def test_the_cases_reach_every_differentiable_op():
    """A core behind a public composite is checked only if some case goes through it."""
    with observed(Called()) as seen, np.errstate(all="ignore"):
        for name in CASES:
            for i, call in enumerate(drawn_calls(name)[:15]):
                xs = [mg.Tensor(x).requires_grad_() for x in call.arrays]
                ys = [y for y in call(*xs) if isinstance(y, mg.Tensor) and y.requires_grad]
                if ys and i < 3:  # ops that rules call are reached by their gradients
                    ones = [mg.ones_like(y) for y in ys]
                    mg.grad(ys, xs, ones, create_graph=True, allow_unused=True)
    differentiable = {name for name, op in REGISTRY.items() if any(getattr(op, "rules", ()))}
    assert differentiable  # a move between devices needs two
    assert differentiable - seen.names <= {"_identity", "_to_device"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_astype_is_its_own_adjoint_in_another_dtype(dtype):
    x = mg.Tensor(np.array([0.5, -2.0], dtype)).requires_grad_()
    other = np.float64 if dtype is np.float32 else np.float32
    v = mg.Tensor(np.array([3.0, 0.25], other)).requires_grad_()
    y = mg.astype(x, other)
    g = mg.grad(y, x, v, create_graph=True)
    assert_close(y, np.array([0.5, -2.0], other))
    assert_close(g, np.array([3.0, 0.25], dtype))
    assert_close(mg.grad(g, v, np.array([1.0, 2.0], dtype)), np.array([1.0, 2.0], other))


def test_astype_to_integers_has_no_gradient():
    x = mg.tensor([1.5, 2.5], requires_grad=True)
    assert not mg.astype(x, np.int64).requires_grad


@pytest.mark.parametrize("name", ["einsum", "softmax", "scatter_add"])
def test_gradcheck_takes_a_call_of_any_op(name):
    call = draw_call(name, Choices(1))
    gradcheck(call, call.arrays)


def test_an_elementwise_op_that_numpy_has_is_tested_without_a_case_of_its_own():
    @elementwise(lambda g, y, x: g * (mg.exp(x) + mg.exp(-x)) / 2, saves="x", domain=(-3.0, 3.0))
    def sinh(x):
        return np.sinh(x)

    (case,) = cases_from_numpy(["sinh", "gelu"]).values()
    for seed in range(5):
        call = Call("sinh", case, *case.arguments(Choices(seed)))
        check_call(call, np.random.default_rng(seed))
