"""Mistakes that one can make with `primitive` and `fused`: each gets a sentence with its remedy."""

import re

import numpy as np
import pytest

import minigen as mg
from minigen.errors import DTypeError, ShapeError

X = np.array([0.5, -1.0, 2.0])
CONSTANT = mg.tensor(X)
HERE = r"\(test_own_ops\.py:\d+\)"


def identity_rule(g, y, x):
    return g


def none_for_both(g, r, wanted, a, b):
    return None


# What is wrong: a declaration, its forward (called with X as each array), the error, the sentence.
DECLARED = {
    "no rule": ((), lambda x: x * 2, "0 rules and 0 entries of saves for 1 array arguments (x)"),
    "too many rules": (
        (identity_rule, identity_rule),
        lambda x: x * 2,
        "2 rules and 2 entries of saves for 1 array arguments (x)",
    ),
    "a static argument without a *": (
        (lambda g, y, x, n: g * n,),
        lambda x, n: x * n,
        "1 rules and 1 entries of saves for 2 array arguments (x, n); give one rule for each, None",
    ),
    "a rule that is no function": ((2.0,), lambda x: x * 2, "argument 'x' is a float; give a func"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_wrong_declaration_is_refused_at_once(name):
    rules, forward, said = DECLARED[name]
    with pytest.raises(TypeError, match=rf"^op '<lambda>' {HERE}: .*{re.escape(said)}"):
        mg.primitive(*rules)(forward)


@pytest.mark.parametrize(
    "saves, said",
    [
        ("z", "saves names 'z'; name 'y' or"),
        ("x,y", "saves names 'x,y'"),
        (("x", "y"), "1 rules and 2"),
    ],
)
def test_saves_that_name_nothing_are_refused(saves, said):
    with pytest.raises(TypeError, match=f"op 'double' {HERE}: .*{said}"):

        @mg.primitive(identity_rule, saves=saves)
        def double(x):
            return x * 2


def test_a_definition_or_backward_that_takes_other_arguments_is_refused():
    with pytest.raises(
        TypeError,
        match=rf"op 'double': its definition {HERE} takes \(a, b\); it must take \(x, n\)",
    ):

        @mg.fused(lambda a, b: a * b)
        def double(x, *, n=2):
            return x * n, None

    with pytest.raises(
        TypeError, match=r"op 'triple': its backward .* must take \(g, residuals, wanted, x\)"
    ):

        @mg.fused(lambda x: x * 3, lambda g, x: (g * 3,))
        def triple(x):
            return x * 3, None


FORWARDS = {
    "a float": (lambda x: 1.5, "returned a float; return an array, as np.asarray"),
    "an int": (lambda x: len(x), "returned an int; return an array"),
    "a list": (lambda x: [x * 2], "returned a list; return an array, or a tuple of arrays for"),
    "nothing": (lambda x: None, "returned None; return an array"),
    "an empty tuple": (lambda x: (), "returned a tuple; return an array, or a tuple"),
    "a tuple with a float": (lambda x: (x * 2, 1.0), "returned a float"),
    "a tensor": (lambda x: CONSTANT * x, "returned a Tensor; return an array: forward gets raw"),
    "its argument": (lambda x: x, "returned a view of argument 'x', where an optimizer step would"),
    "a view of its argument": (lambda x: x[::-1], "returned a view of argument 'x'"),
    "a view in a tuple": (lambda x: (x + 1, x[:2]), "returned a view of argument 'x'"),
}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("name", FORWARDS)
def test_a_forward_that_returns_what_is_no_new_array_is_named(name, raw):
    forward, said = FORWARDS[name]
    op = mg.primitive(lambda g, y, x: g)(forward)
    x = X.copy() if raw else mg.tensor(X, requires_grad=True)
    with pytest.raises(TypeError, match=f"op '<lambda>': its forward {HERE} {re.escape(said)}"):
        op(x)


def test_a_forward_may_return_a_view_that_it_declares_and_scalars_of_numpy():
    @mg.primitive(lambda g, y, x: g[::-1], views=True)
    def turned(x):
        return x[::-1]

    @mg.primitive(lambda g, y, x: mg.broadcast_to(g, x.shape))
    def total(x):
        return x.sum()

    x = mg.tensor(X, requires_grad=True)
    assert np.array_equal(mg.grad(total(turned(x) * X), x), X[::-1])
    assert type(total(X)) is np.float64


@pytest.mark.parametrize(
    "result", [lambda x: x * 2, lambda x: (x * 2, None, None), lambda x: [x, 0]]
)
def test_the_forward_of_a_fused_op_must_return_a_pair(result):
    op = mg.fused(lambda x: x * 2, lambda g, r, wanted, x: (2 * g,))(lambda x: result(x))
    with pytest.raises(TypeError, match=rf"forward {HERE} returned .*a pair \(y, residuals\)"):
        op(X)


# A rule for x * x of an argument x, what it saves, the error, and what the sentence says.
RULES = {
    "an argument that is not saved": (
        *(lambda g, y, x: g * 2 * x, "", TypeError),
        "reads 'x', which it did not save; add 'x' to its saves",
    ),
    "the result that is not saved": (
        *(lambda g, y, x: g * 2 * y**0.5, "", TypeError),
        "reads 'y', which it did not save; add 'y' to its saves",
    ),
    "both": (
        lambda g, y, x: g * (x + y),
        "",
        TypeError,
        "reads 'x' and 'y', which it did not save",
    ),
    "an argument by an op": (
        lambda g, y, x: g * mg.exp(x),
        "",
        TypeError,
        "reads 'x', which it did",
    ),
    "an argument by NumPy": (
        lambda g, y, x: g * np.exp(x),
        "",
        TypeError,
        "reads 'x', which it did",
    ),
    "an argument, returned": (lambda g, y, x: x, "", TypeError, "reads 'x', which it did not save"),
    "too few arguments": (lambda g, x: g, "x", TypeError, "takes (g, x); it must take (g, y, x)"),
    "None": (lambda g, y, x: None, "x", TypeError, "returned None; return an array of zeros where"),
    "a list": (
        lambda g, y, x: [g],
        "x",
        TypeError,
        "returned a list; return an array of shape (3,)",
    ),
    "a float": (lambda g, y, x: 0.0, "x", TypeError, "returned a float; return an array of shape"),
    "a tensor": (
        lambda g, y, x: g * CONSTANT,
        "x",
        TypeError,
        "returned a Tensor; return an array:",
    ),
    "a wrong shape": (
        *(lambda g, y, x: (g * x)[:2], "x", ShapeError),
        "returned shape (2,) for an argument of shape (3,); sum over what was broadcast",
    ),
    "a sum": (lambda g, y, x: (g * x).sum(), "x", ShapeError, "returned shape () for an argument"),
    "whole numbers": (
        *(lambda g, y, x: (g * x).astype(np.int64), "x", DTypeError),
        "returned dtype int64 for an argument of float64; compute in the dtype of g",
    ),
    "another float dtype": (
        *(lambda g, y, x: (g * x).astype(np.float32), "x", DTypeError),
        "returned dtype float32 for an argument of float64",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_does_not_return_the_cotangent_is_named(name):
    rule, saves, error, said = RULES[name]

    @mg.primitive(rule, saves=saves)
    def square(x):
        return x * x

    x = mg.tensor(X, requires_grad=True)
    with pytest.raises(
        error, match=f"^op 'square': the rule for argument 'x' {HERE} {re.escape(said)}"
    ):
        square(x).sum().backward()
    assert x.grad is None


BACKWARDS = {
    "one array": (
        lambda g, r, wanted, a, b: g,
        "returned a ndarray; return a tuple with one cotan",
    ),
    "too few": (lambda g, r, wanted, a, b: (g,), "returned 1 values; return a tuple with one"),
    "nothing": (
        none_for_both,
        "returned None; return a tuple with one cotangent for each of (a, b)",
    ),
    "None for one": (
        lambda g, r, wanted, a, b: (g, None),
        "returned None; return an array of zeros",
    ),
    "a wrong shape": (lambda g, r, wanted, a, b: (g, g[:1]), "returned shape (1,)"),
}


@pytest.mark.parametrize("name", BACKWARDS)
def test_a_backward_that_does_not_return_the_cotangents_is_named(name):
    backward, said = BACKWARDS[name]

    @mg.fused(lambda a, b: a + b, backward)
    def plus(a, b):
        return a + b, None

    a, b = (mg.tensor(X, requires_grad=True) for _ in range(2))
    with pytest.raises(
        (TypeError, ShapeError), match=f"^op 'plus': its backward {HERE} {re.escape(said)}"
    ):
        plus(a, b).sum().backward()


def test_a_rule_of_an_op_with_any_number_of_arguments_is_named_too():
    @mg.primitive(lambda g, y, i, *xs: g * xs[1 - i])
    def product(*xs):
        return xs[0] * xs[1]

    a, b = (mg.tensor(X, requires_grad=True) for _ in range(2))
    with pytest.raises(
        TypeError, match=r"op 'product': the rule for argument 'xs\[0\]'.* reads 'xs\[1\]'"
    ):
        product(a, b).sum().backward()


def test_what_a_rule_raises_itself_is_raised_with_a_note_that_names_the_rule():
    @mg.primitive(lambda g, y, x: g / {}["slope"])
    def steep(x):
        return 2 * x

    with pytest.raises(KeyError, match="slope") as caught:
        steep(mg.tensor(X, requires_grad=True)).sum().backward()
    assert re.search(
        f"raised by op 'steep': the rule for argument 'x' {HERE}", caught.value.__notes__[0]
    )


def test_a_rule_in_numpy_is_right_at_first_order_and_says_why_not_at_second():
    @mg.primitive(lambda g, y, x: g * np.cos(x), saves="x")
    def sine(x):
        return np.sin(x)

    x = mg.tensor(X, requires_grad=True)
    assert np.allclose(mg.grad(sine(x).sum(), x).data, np.cos(X))
    with pytest.raises(TypeError) as caught:
        mg.grad(sine(x).sum(), x, create_graph=True)
    assert "work on arrays, but not on tensors" in caught.value.__notes__[0]


def test_arguments_of_two_dtypes_get_gradients_of_their_own():
    @mg.primitive(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, saves=("b", "a"))
    def product(a, b):
        return a * b

    a, b = mg.tensor(X, np.float32, requires_grad=True), mg.tensor(X, requires_grad=True)
    for create_graph in (False, True):
        found = mg.grad(product(a, b).sum(), [a, b], create_graph=create_graph)
        assert [g.dtype for g in found] == [np.float32, np.float64]
