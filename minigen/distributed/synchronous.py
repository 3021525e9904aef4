"""Synchronous training: all ranks take the same step, with the mean of their gradients.

Each rank has its rows of the batch and the mean of the loss over them. The mean over all N rows is
that of the ranks' means, weighted by their rows n, and so is its gradient:

    g = sum over ranks of (n / N) * g_of_rank
"""

from collections.abc import Callable
from typing import Any

from minigen.autodiff.graph import Leaf
from minigen.autodiff.reducers import Reducer
from minigen.backend.arrays import Array
from minigen.communication.world import World
from minigen.distributed.wrapping import Around
from minigen.optim import Optimizer


class Synchronous(Around):
    """An optimizer whose gradients are the means over all ranks, weighted by their rows.

    The backward pass itself sums them, so that `.grad`, the result of mg.grad and clipping are of
    the whole batch. The parameters become those of rank 0.
    """

    def __init__(self, optimizer: Optimizer, world: World):
        super().__init__(optimizer, world)
        if world.size > 1:
            world.in_step = True
            for p, value in zip(self.params, world.broadcast([p.data for p in self.params])):
                p.data[...] = value
                p.node.version += 1
            reducer = GradientReducer(world, [p.node for p in self.params])
            for p in self.params:
                p.node.reducer = reducer


class GradientReducer(Reducer):
    """Sums the gradients of leaves over all ranks at the end of a walk."""

    def __init__(self, world: World, leaves: list[Leaf]):
        self.world, self.leaves, self.complete = world, leaves, {}

    def completed(self, leaf: Leaf, gradient: Callable[[], Array | None]) -> None:
        self.complete[leaf] = gradient

    def ended(self, found: dict[Any, Array]) -> None:
        weight = self.world.rows.weight if self.world.rows else 1 / self.world.size
        for leaf in self.leaves:
            if leaf in self.complete:
                g = self.complete[leaf]()
                if g is not None:
                    found[leaf] = self.world.all_reduce(g * g.dtype.type(weight), "sum")
        self.complete = {}
