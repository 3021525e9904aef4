"""Own ops whose mistakes would make no noise: unread saves, views, definitions, matrices."""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DTypeError, ShapeError

X = np.array([0.5, -1.0, 2.0])


UNSAVED = {
    "a mask": (lambda g, y, x, m: mg.where(m, g, 0.0), "", "'m'"),
    "a mask by NumPy": (lambda g, y, x, m: np.where(m, g, 0.0), "", "'m'"),
    "a comparison with the result": (lambda g, y, x, m: g * (x == y), "x", "'y'"),
    "a truth value": (lambda g, y, x, m: g if m else -g, "", "'m'"),
}


@pytest.mark.parametrize("name", UNSAVED)
def test_a_value_that_was_not_saved_cannot_be_read_in_silence(name):
    rule, saves, said = UNSAVED[name]

    @mg.primitive(rule, None, saves=saves)
    def masked(x, m):
        return x * m

    x = mg.tensor(X, requires_grad=True)
    with pytest.raises((TypeError, ValueError)) as caught:
        mg.grad(masked(x, np.array([True, False, True])).sum(), x)
    text = " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "op 'masked': the rule for argument 'x'" in text and (
        said in text or "was not saved" in text
    )


def test_a_rule_of_an_op_with_several_outputs_is_named_as_others_are():
    for rule, said in [
        (lambda g, y, x: g[0] * 2 * x + g[1], "reads 'x', which it did not save"),
        (lambda g, y, x: (g[0] + g[1]).astype(np.float32), "returned dtype float32"),
        (lambda g, y, x: None, "returned None"),
    ]:

        @mg.primitive(rule)
        def two(x):
            return x * x, x * 1

        a, b = two(mg.tensor(X, requires_grad=True))
        with pytest.raises((TypeError, DTypeError), match=said):
            (a + b).sum().backward()


def test_a_view_of_the_last_argument_or_through_strides_is_seen_too():
    windows = np.lib.stride_tricks.sliding_window_view
    for forward in (
        lambda a, b: b,
        lambda a, b: windows(b, 2),
        lambda a, b: np.asarray(memoryview(b)),
    ):
        op = mg.primitive(None, lambda g, y, a, b: g)(forward)
        with pytest.raises(TypeError, match="a view of argument 'b'"):
            op(*(mg.tensor(X, requires_grad=True) for _ in range(2)))
    with pytest.raises(TypeError, match="views=True is for ops of one array argument"):
        mg.primitive(None, lambda g, y, a, b: g, views=True)(lambda a, b: b)


def test_a_definition_must_return_what_forward_returns():
    x = mg.tensor(X, requires_grad=True)
    column = mg.fused(lambda x: x * x)(lambda x: ((x * x).reshape(3, 1) + 0, None))
    with pytest.raises(ShapeError, match=r"its definition .* returned shape \(3,\) where forward"):
        mg.grad(column(x), x, np.ones((3, 1)))
    for definition in (lambda x: (x * x,), lambda x: [x * x, x], lambda x: x * x, lambda x: None):
        two = mg.fused(definition)(lambda x: ((x * x, x * 3), None))
        with pytest.raises(TypeError, match=r"its definition .* return a tuple of 2 tensors"):
            mg.grad(two(x)[0].sum(), x)


def test_what_is_declared_must_be_functions():
    with pytest.raises(TypeError, match="an op is declared from a function, not from a Tensor"):
        mg.primitive(lambda x: x * 2)(mg.tensor(X))
    for definition in (2.0, None):
        with pytest.raises(TypeError, match=r"its definition is .*; give a function"):
            mg.fused(definition)(lambda x: (x * 1, None))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_of_numpy_is_computed_with_as_an_array():
    a, b = mg.tensor(np.ones((2, 2)), requires_grad=True), np.array([[1.0, 2], [3, 4]])
    assert np.array_equal(mg.grad((a * np.matrix(b)).sum(), a), b)
    assert np.array_equal(mg.grad(a * b, a, np.matrix(b)), b * b)
    op = mg.primitive(lambda g, y, x: np.asmatrix(g))(lambda x: x + 0)
    with pytest.raises(TypeError, match="returned a matrix; return an array"):
        mg.grad(op(a * b).sum(), a)
