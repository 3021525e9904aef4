"""Synchronous training: all ranks take the same step, with the mean of their gradients.

Each rank has its rows of the batch and the mean of the loss over them. The mean over all N rows is
that of the ranks' means, weighted by their rows n, and so is its gradient:

    g = sum over ranks of (n / N) * g_of_rank

The sums begin while the backward walk goes on (buckets.py). The first walk only learns in which
order it completes the gradients.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minigen.autodiff.graph import Leaf
from minigen.autodiff.reducers import Reducer
from minigen.backend.arrays import Array
from minigen.backend.devices import capturing
from minigen.communication.world import World
from minigen.distributed.buckets import BucketSums, Gradients
from minigen.distributed.wrapping import DistributedOptimizer
from minigen.optim import Optimizer
from minigen.tensors import Tensor

SHOWN = 8  # parameters that the warning about missing gradients names


class Synchronous(DistributedOptimizer):
    """An optimizer whose gradients are the means over all ranks, weighted by their rows.

    The backward pass itself sums them, so that `.grad`, the result of mg.grad and clipping are of
    the whole batch; all ranks must take the same passes. A gradient that no such pass has summed
    since the last step (made by hand, or with create_graph) is summed by `step`. The parameters
    become those of rank 0. With overlap=False sums begin when the walk ends; a bucket has
    bucket_bytes, by default those of `buckets_of`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        world: World,
        *,
        overlap: bool = True,
        bucket_bytes: int | None = None,
    ):
        super().__init__(optimizer, world)
        self.reducer: GradientReducer | None = None
        if world.size > 1:
            world.in_step = True
            self.reducer = GradientReducer(world, overlap, bucket_bytes)
            self._take(self.params)

    def _take(self, params: list[Tensor]) -> None:
        """Start with the values of rank 0, and have walks sum the gradients."""
        for p, value in zip(params, self.world.broadcast([p.data for p in params])):
            p.data[...] = value
            if p.node is not None:
                p.node.version += 1
        self.reducer.take(self.params)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        first = len(self.params)
        super().add_param_group(group)
        if self.reducer is not None:
            self._take(self.params[first:])

    def step(self, gradients: Iterable[Tensor | None] | Callable[[], Any] | None = None) -> Any:
        if self.reducer is None:
            return self.optimizer.step(gradients)
        if callable(gradients):
            return self.optimizer.step(lambda: self._with_sums(gradients()))
        if gradients is None:
            self._with_sums()
        else:
            gradients = self.reducer.summed(
                [gradients] if isinstance(gradients, Tensor) else list(gradients)
            )
        return self.optimizer.step(gradients)

    def _with_sums(self, result: Any = None) -> Any:
        """Sum what no walk has summed of the parameters' `.grad`; returns result."""
        gradients = [p.node.grad if p.node else None for p in self.params]
        for p, g, summed in zip(self.params, gradients, self.reducer.summed(gradients)):
            if summed is not g:
                p.node.grad = summed
        return result


class GradientReducer(Reducer):
    """Sums the gradients of an optimizer's parameters over all ranks."""

    def __init__(self, world: World, overlap: bool, bucket_bytes: int | None):
        self.world, self.overlap, self.bucket_bytes = world, overlap, bucket_bytes
        self.params: list[Tensor] = []
        self.leaves: list[Leaf | None] = []  # of the parameters
        self.sums: list[BucketSums] = []
        self.sums_of: dict[Leaf, BucketSums] = {}
        self.flags = None  # sums that say on how many ranks each leaf has a gradient
        self.walk: Any = None  # the dict that the walk fills, while it goes on
        self.complete: Gradients = {}  # in this walk
        self.fresh: set[Leaf] = set()  # whose gradients walks have summed since the last step
        self.is_said = False  # that parameters have got no gradient

    def take(self, params: list[Tensor]) -> None:
        """Sum the gradients of params from now on."""
        self.params, self.leaves = params, [p.node for p in params]
        for leaf in filter(None, self.leaves):
            leaf.reducer = self
        self.flags = self.world.reductions([np.empty(len(params), np.float32)])

    @property
    def weight(self) -> float:
        return self.world.rows.weight if self.world.rows else 1 / self.world.size

    def completed(
        self, found: dict[Any, Array], leaf: Leaf, gradient: Callable[[], Array | None]
    ) -> None:
        if self.walk is not found:
            if self.walk is not None:  # an error has ended that walk
                self._finish()
            self.walk = found
        self.complete[leaf] = gradient
        if self.overlap and leaf in self.sums_of:
            self.sums_of[leaf].completed(leaf, self.complete, self.weight)

    def ended(self, found: dict[Any, Array]) -> None:
        has_gradient = self._on_any_rank()
        present = [leaf for leaf, has in zip(self.leaves, has_gradient) if has]
        if new := {leaf for leaf in present if leaf not in self.sums_of}:
            self._learn(new)
        for sums in dict.fromkeys(self.sums_of[leaf] for leaf in present):
            sums.begin_rest(self.complete, self.weight)
        summed = self._finish()
        found.update((leaf, summed[leaf]) for leaf in present)
        self.fresh.update(present)

    def _on_any_rank(self):
        """For each leaf whether it has got a gradient on any rank in this walk."""
        complete = self.complete
        here = [leaf in complete and complete[leaf]() is not None for leaf in self.leaves]
        if capturing.get() is not None:  # a CUDA graph cannot ask; it repeats this very walk
            return here
        self.flags.ready(0)
        self.flags.slots[0][:] = here
        self.flags.start(0)
        return (self.flags.finish(0) > 0).tolist()

    def _learn(self, new):
        """Cut leaves into buckets, in the order in which rank 0 has completed them."""
        indices = {leaf: i for i, leaf in enumerate(self.leaves)}
        order = [indices[leaf] for leaf in self.complete if leaf in new]
        order += sorted(indices[leaf] for leaf in new if leaf not in self.complete)
        order = self.world.share(order)
        pairs = [(self.leaves[i], self.params[i].data) for i in order]
        sums = BucketSums(self.world, pairs, self.bucket_bytes)
        self.sums.append(sums)
        self.sums_of.update((leaf, sums) for leaf, _ in pairs)

    def _finish(self):
        """End the walk: the sums that have begun."""
        summed = {}
        for sums in self.sums:
            summed |= sums.finish()
        self.walk, self.complete = None, {}
        return summed

    def summed(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """The gradients of a step; those that no walk has summed since the last one are now."""
        if any(p.node is not leaf for p, leaf in zip(self.params, self.leaves)):
            self.take(self.params)  # a constant has become a leaf
        for i, (leaf, g) in enumerate(zip(self.leaves, gradients)):
            if isinstance(g, Tensor) and leaf not in self.fresh:
                with np.errstate(all="ignore"):
                    weighted = g.data * g.dtype.type(self.weight)
                gradients = [*gradients]
                gradients[i] = Tensor(self.world.all_reduce(weighted, "sum"))
        self.fresh.clear()
        if not self.is_said:
            self.is_said = True
            self._warn(gradients)
        return gradients

    def _warn(self, gradients):
        """Say which parameters have no gradient at the first step, and had none before."""
        missing = [
            f"{i} of shape {p.shape}"
            for i, (leaf, p, g) in enumerate(zip(self.leaves, self.params, gradients))
            if p.requires_grad and g is None and leaf not in self.sums_of
        ]
        if missing and self.world.rank == 0:
            names = ", ".join(missing[:SHOWN]) + ", ..." * (len(missing) > SHOWN)
            warnings.warn(
                f"Synchronous: no backward pass before the first step has reached "
                f"{len(missing)} of {len(self.params)} parameters, which stay as they are: "
                f"parameter {names}",
                RuntimeWarning,
                stacklevel=4,
            )
