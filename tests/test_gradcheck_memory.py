"""What only gradcheck can see of a reader's op: that it writes to arrays, or keeps them."""

import numpy as np
import pytest

import minigen as mg
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
        "but declares returns_new": mg.primitive(lambda g, y, x: KEPT, returns_new=True)(
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
