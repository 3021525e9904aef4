"""What the tests of aliasing draw from: the same values in each test, whatever ran before it."""

import numpy as np
import pytest

import minigen as mg

RNG = np.random.default_rng(0)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def same_draws():
    RNG.bit_generator.state = START


def leaf(*shape):
    return mg.tensor(RNG.standard_normal(shape), requires_grad=True)


def untouched(*arrays):
    """A function that tells whether these arrays are as they are now."""
    before = [x.copy() for x in arrays]
    return lambda: all(np.array_equal(x, b) for x, b in zip(arrays, before))
