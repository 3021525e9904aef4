"""A World of a pair whose ranks have the same gradients, for tests that need no MPI.

Half of each gradient is summed twice, which is exact, so training gives the bits of one process.
"""

import numpy as np

import minigen as mg
from minigen import optim
from minigen.communication.world import Reductions, World
from minigen.distributed import Synchronous


class Pair(World):
    """Rank 0 of two ranks that do the same; `events` has what the sums of buckets were told."""

    size = 2

    def __init__(self):
        super().__init__()
        self.events = []

    def reductions(self, like):
        return Twice(self, like)

    def _reduced(self, x, op):
        self.events.append(("all_reduce", x.nbytes))
        return x + x if op == "sum" else x.copy()


class Twice(Reductions):
    def __init__(self, world, like):
        super().__init__(like)
        self.world, self.sums = world, {}

    def start(self, i):
        self.world.events.append(("start", self.slots[i].nbytes))
        self.sums[i] = self.slots[i] * 2

    def finish(self, i):
        self.world.events.append(("finish", self.slots[i].nbytes))
        self.slots[i].fill(np.nan)  # whatever kept a view of it notices
        return self.sums.pop(i)


def synchronous(params, world=None, **flags):
    return Synchronous(optim.SGD(params, lr=0.5), world or Pair(), **flags)


def leaf(*shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return mg.tensor(values.astype(dtype), requires_grad=True)


def leaves():
    """Leaves of two dtypes, 0-d and empty ones among them."""
    shapes = (4, 3), (3,), (), (0, 3), (300,)
    return [leaf(*shape, seed=i) for i, shape in enumerate(shapes)] + [leaf(3, dtype=np.float64)]


def loss_of(w, b, s, e, v, d):
    x = mg.tensor(np.random.default_rng(9).standard_normal((5, 4)).astype(np.float32))
    y = mg.tanh(x @ w + b) * s
    return (y.sum(axis=0).astype(np.float64) * d).sum() + (v * v).sum() + e.sum()


def stepped(optimizer, params, steps=4):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(*params).backward()
        optimizer.step()
    return [p.numpy().copy() for p in params]
