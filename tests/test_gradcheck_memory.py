"""What only gradcheck can see of a reader's op: that it writes to arrays, or keeps them."""

import numpy as np
import pytest

import minigen as mg
from minigen.autodiff.fast_walk import LeafSums
from minigen.testing import GradcheckError, gradcheck

X = np.array([0.5, -1.0, 2.0])
KEPT = np.zeros(3)


def test_gradcheck_says_which_op_writes_to_an_array_or_keeps_one():
    buffer = np.empty(3)

    def doubled(x):
        x *= 2
        return x + 0

    def shifted(g, y, x):
        x += 1
        return g

    ops = {
        "forward writes into its argument 'x'": mg.primitive(lambda g, y, x: 2 * g)(doubled),
        "its rule writes into the cotangent": mg.primitive(
            lambda g, y, x: np.multiply(g, 2, out=g)
        )(lambda x: 2 * x),
        "its rule writes into a value that was saved": mg.primitive(shifted, saves="x")(
            lambda x: x + 1
        ),
        "writes into an array that it has returned before": mg.primitive(
            lambda g, y, x: np.multiply(g, 2, out=buffer)
        )(lambda x: 2 * x),
        "declares returns_new, but returns": mg.primitive(lambda g, y, x: KEPT, returns_new=True)(
            lambda x: np.floor(x)
        ),
    }
    for said, op in ops.items():
        for f in (op, lambda x, op=op: x * 3.0 + op(x), lambda x, op=op: op(x) + x * 3.0):
            with pytest.raises(GradcheckError, match=said) as caught:
                gradcheck(f, X, order=1)
            assert caught.value.fault.cause == "writes into or keeps an array"


def test_gradcheck_accepts_a_kept_array_and_rules_in_numpy_at_order_1():
    flat = mg.primitive(lambda g, y, x: KEPT)(lambda x: np.floor(x))
    gradcheck(lambda x: flat(x) + x * 2, X + 0.1)
    gradcheck(lambda x: x * 2 + flat(x), X + 0.1)
    sine = mg.primitive(lambda g, y, x: g * np.cos(x), saves="x")(lambda x: np.sin(x))
    gradcheck(lambda x: mg.exp(sine(x)), X, order=1)
    with pytest.raises(GradcheckError, match="order 1"):
        gradcheck(sine, X)


def test_gradcheck_sees_buffers_that_are_used_in_turn_or_by_forward():
    buffer, ring, turn, last = np.empty(3), np.zeros((2, 3)), [0], []

    def cosine(x):
        np.cos(x, out=buffer)
        return np.sin(x), buffer

    def turns(g, y, x):
        turn[0] += 1
        return np.multiply(g, 2, out=ring[turn[0] % 2])

    def changes_the_last(x):
        for other in last:
            other += 1
        last[:] = [x]
        return x * 2

    twice = (lambda a, b: 2 * (a + b), lambda g, r, wanted, a, b: (2 * g,) * 2)
    sum_of_two = mg.fused(twice[0], twice[1], returns_new=True)(lambda a, b: (2 * (a + b), None))
    ops = [
        (mg.fused(lambda x: mg.sin(x), lambda g, r, wanted, x: (g * r,))(cosine), [X]),
        (mg.primitive(turns)(lambda x: 2 * x), [X]),
        (mg.primitive(lambda g, y, x: 2 * g)(changes_the_last), [X]),
        (sum_of_two, [X, X]),
    ]
    for op, inputs in ops:
        with pytest.raises(GradcheckError, match="writes into or keeps an array"):
            gradcheck(op, inputs, order=1)


def test_a_wrong_rule_in_numpy_is_diagnosed_at_order_1():
    sine = mg.primitive(lambda g, y, x: 2 * g * np.cos(x), saves="x")(lambda x: np.sin(x))
    with pytest.raises(GradcheckError, match=r"a constant factor \(2\)"):
        gradcheck(sine, X, order=1)


def test_a_walk_that_writes_to_what_a_rule_keeps_is_found(monkeypatch):
    add, zero = LeafSums.add, np.zeros(3)
    new = lambda self, leaf, g, is_new=False: add(self, leaf, g, True)
    monkeypatch.setattr(LeafSums, "add", new)
    flat = mg.primitive(lambda g, y, x: zero)(lambda x: np.floor(x))
    for f in (lambda x: flat(x) + mg.sin(x), lambda x: flat(x) + x * 2.0 + flat(x)):
        with pytest.raises(GradcheckError, match=r"taken again: .* writes into an array, or keeps"):
            gradcheck(f, X + 0.1, order=1)
