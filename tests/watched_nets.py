"""Small nets that are trained under `study.watch`, for the tests of it."""

import minigen as mg
from minigen import nn, study


def linear(n, m, rng):
    return nn.Linear(n, m, rng=rng)


def small_net(rng, activation=nn.ReLU):
    layers = linear(6, 8, rng), activation(), linear(8, 8, rng), activation(), linear(8, 2, rng)
    return nn.Sequential(*layers).double()


def train(net, steps, rng, optimizer=None, every=1, loss_of=None, watched=True, size=6):
    """Train on random data; returns the watch, or None."""
    optimizer = optimizer or mg.optim.Adam(net.parameters(), lr=1e-3)
    dtype = net.parameters()[0].dtype
    watch = study.watch(net, optimizer, every=every) if watched else None
    if watch is not None:
        watch.say = lambda text: None
        watch.__enter__()
    for _ in range(steps):
        x = mg.Tensor(rng.normal((32, size), dtype=dtype))
        loss = mg.mean(mg.square(net(x) - 1)) if loss_of is None else loss_of(net, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if watch is not None:
        watch.__exit__(None, None, None)
    return watch


def rows_of(watch, layer):
    return [row for row in watch.rows if row["layer"] == layer]
