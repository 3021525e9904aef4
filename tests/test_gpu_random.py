"""The same seed draws the same numbers on the CPU and on a GPU."""

import numpy as np
import pytest

import minigen as mg
from minigen.backend.arrays import is_cupy
from minigen.backend.devices import to_device, to_numpy
from minigen.testing import assert_close

pytestmark = pytest.mark.usefixtures("device")
P = np.array([0.1, 0.2, 0.0, 0.3, 0.4])
SHAPES = pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5, 7), (1025,)])
SAME = {
    "uniform": lambda g, shape, device: g.uniform(shape, device=device),
    "uniform64": lambda g, shape, device: g.uniform(shape, dtype=np.float64, device=device),
    "uniform_between": lambda g, shape, device: g.uniform(shape, -2, 3, device=device),
    "integers": lambda g, shape, device: g.integers(-7, 100, shape, device=device),
    "integers_wide": lambda g, shape, device: g.integers(-(2**63), 2**63, shape, device=device),
    "bernoulli": lambda g, shape, device: g.bernoulli(0.3, shape, device=device),
    "bernoulli32": lambda g, shape, device: g.bernoulli(
        0.3, shape, dtype=np.float32, device=device
    ),
    "choice": lambda g, shape, device: g.choice(9, shape, device=device),
    "choice_weighted": lambda g, shape, device: g.choice(5, shape, p=P, device=device),
}
ORDERS = {
    "permutation": lambda g, device: g.permutation(300, device=device),
    "bernoulli_array": lambda g, device: g.bernoulli(to_device(P, device), (3, 5), device=device),
    "choice_once": lambda g, device: g.choice(300, (4, 5), False, device=device),
    "choice_once_weighted": lambda g, device: g.choice(5, 4, False, P, device=device),
    "choice_of_device": lambda g, device: g.choice(5, 9, p=to_device(P, device), device=device),
}


def on_both(draw):
    """What draw(generator, device) gives on the GPU and on the CPU, after the same words."""
    results = []
    for name in ("cuda", None):
        generator = mg.Generator(2**64 - 1)
        generator.uniform(3, device=name)  # so that the next draw begins inside a block of Philox
        results.append((draw(generator, name), generator.state))
    (got, got_state), (want, want_state) = results
    assert is_cupy(got) and got.dtype == want.dtype and got.shape == want.shape
    assert got_state == want_state
    return to_numpy(got), want


@SHAPES
@pytest.mark.parametrize("name", SAME)
def test_draws_are_the_same_bits(name, shape):
    got, want = on_both(lambda g, device: SAME[name](g, shape, device))
    assert np.array_equal(got, want)


@pytest.mark.parametrize("name", ORDERS)
def test_orders_and_draws_by_an_array_are_the_same(name):
    assert np.array_equal(*on_both(ORDERS[name]))


@SHAPES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_the_same_to_the_last_units(dtype, shape):
    """Logarithm and cosine are not the same bits on every device."""
    assert_close(*on_both(lambda g, device: g.normal(shape, 1, 2, dtype=dtype, device=device)))


def test_draws_from_cpu_and_gpu_are_one_stream():
    mixed, plain = mg.Generator(5), mg.Generator(5)
    parts = [mixed.uniform(7, device=name) for name in ("cuda", None, "cuda")]
    assert np.array_equal(np.concatenate([to_numpy(x) for x in parts]), plain.uniform(21))
