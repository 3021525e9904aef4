"""PyTorch's names on the device: results are there, and those of the CPU."""

import numpy as np
import pytest
from gpu_device import on_device

import minigen as mg
from minigen.backend.arrays import is_cupy
from minigen.backend.devices import to_numpy

pytestmark = pytest.mark.usefixtures("device")
X = np.random.default_rng(0).standard_normal((3, 4))
CALLS = {
    "isclose": lambda x: x.isclose(x + 1e-9),
    "isnan": lambda x: x.isnan(),
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.0),
    "masked_select": lambda x: x.masked_select(x > 0),
    "argwhere": lambda x: mg.argwhere(x > 0),
    "nonzero": lambda x: mg.stack(mg.nonzero(x > 0, as_tuple=True)),
    "diag": lambda x: mg.diag(x[0], 1),
    "diagonal": lambda x: x.diagonal(-1),
    "trace": lambda x: x.trace(),
    "meshgrid": lambda x: mg.stack(mg.meshgrid(x[0], x[1], indexing="ij")),
    "chunk": lambda x: x.chunk(2, dim=1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "index_select": lambda x: x.index_select(0, mg.argwhere(x[:, 0] == x[:, 0])[:, 0]),
    "cumprod": lambda x: x.cumprod(dim=0),
    "lerp": lambda x: x.lerp(x * x, 0.3),
    "clone": lambda x: x.clone(),
    "trunc": lambda x: x.trunc(),
    "new_zeros": lambda x: x.new_zeros(2, 3),
    "new_tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "full_like": lambda x: mg.full_like(x, 3.0),
    "count_nonzero": lambda x: (x > 0).count_nonzero(dim=1),
    "remainder": lambda x: x % 0.3,
    "comparison": lambda x: (x > 0) & ~(x < 0.5),
    "rand_like": lambda x: mg.rand_like(x, rng=mg.Generator(1)),
    "bernoulli": lambda x: mg.bernoulli(x.sigmoid(), rng=mg.Generator(1)),
    "multinomial": lambda x: mg.multinomial(x.exp(), 2, rng=mg.Generator(1)),
    "multinomial with replacement": lambda x: mg.multinomial(x.exp(), 9, True, mg.Generator(1)),
    "expand": lambda x: x[0].expand(2, -1),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_on_the_device_and_those_of_the_cpu(name):
    got, want = CALLS[name](mg.Tensor(on_device(X))), CALLS[name](mg.Tensor(X))
    assert is_cupy(got.data) and got.dtype == want.dtype
    assert np.allclose(to_numpy(got.data), want.data, 1e-12)


def test_facts_of_a_tensor_on_the_device():
    x = mg.Tensor(on_device(X))
    assert x.is_cuda and x.tolist() == X.tolist() and x.cpu().device == "cpu"
    assert x.allclose(x + 1e-12) and x.equal(x) and not x.equal(x + 1)


def test_lists_index_a_tensor_on_the_device():
    x = mg.Tensor(on_device(X))
    for index in ([0, 2], (slice(None), [1, 3]), ([0, 1], [2, 3]), ([True, False, True],)):
        assert np.array_equal(to_numpy(x[index].data), X[index])
    updated = to_numpy(x.scatter_add([0, 0], mg.Tensor(on_device(X[:2]))).data)
    assert np.allclose(updated[0], X[0] + X[0] + X[1])
