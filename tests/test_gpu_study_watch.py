"""`study.watch` on the device gives the numbers of the CPU."""

import numpy as np

import minigen as mg
from minigen import nn, study


def rows(device):
    rng = mg.Generator(0)
    layers = nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3, rng=rng)
    net = nn.Sequential(*layers, nn.Tanh()).to(device)
    adam = mg.optim.Adam(net.parameters(), lr=0.01)
    with study.watch(net, adam, every=1) as watch:
        for _ in range(2):
            x = mg.Tensor(rng.normal((4, 1, 8, 8))).to(device)
            adam.step(mg.grad(mg.mean(mg.square(net(x) - 1)), adam.params))
    return watch.rows


def test_the_numbers_of_layers_are_those_of_the_cpu(device):
    numbers = [
        [[x for x in row.values() if isinstance(x, float)] for row in rows(on)]
        for on in ("cpu", device)
    ]
    assert len(numbers[0]) == 8
    for here, there in zip(*numbers):
        assert np.allclose(here, there, rtol=1e-4, atol=1e-6)
