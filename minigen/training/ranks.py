"""Training on several ranks: the optimizer that flags ask for, and what ranks agree on in a run."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.communication.agreement import first_for_all
from minigen.communication.world import World
from minigen.distributed import Synchronous
from minigen.optim import Optimizer
from minigen.training import checkpoint


def distribute(optimizer: Optimizer, world: World, args: argparse.Namespace) -> Optimizer:
    """The optimizer with which the ranks of world train together, as the flags say.

    One process alone keeps its optimizer.
    """
    return Synchronous(optimizer, world) if world.size > 1 else optimizer


class Agreement:
    """Wishes of any rank, which all ranks follow after the same step.

    The plain way is a sum over ranks after each step, for which every rank waits. Instead it goes
    on during the next step: what a rank wishes after step n, all know after step n + 1.
    """

    def __init__(self, world: World):
        self.world, self.sums, self.is_pending = world, None, False

    def exchange(self, wishes: Sequence[bool], now: bool) -> list[bool]:
        """For each wish, whether some rank had it after the previous step; with now, also this."""
        if self.world.size == 1:
            return list(wishes)
        if self.sums is None:
            self.sums = self.world.reductions([np.zeros(len(wishes))])
        found = np.zeros(len(wishes))
        if self.is_pending:
            found, self.is_pending = self.sums.finish(0), False
        if now or (self.world.in_step and not found.any()):
            self.sums.slots[0][:] = wishes
            self.sums.start(0)
            self.is_pending = True
        if now:
            found, self.is_pending = found + self.sums.finish(0), False
        return [bool(n) for n in found]

    def first_sentence(self, sentence: str) -> str:
        """The sentence of the first rank that has one, with that rank's name; on all ranks."""
        for rank, other in enumerate(self.world.gather(sentence)):
            if other:
                return f"rank {rank}: {other}" if self.world.size > 1 else other
        return ""


def load_for_all(world: World, path: Any) -> Any:
    """The state in a file that rank 0 alone reads, on all ranks; CheckpointError on all."""
    if world.size == 1:
        return checkpoint.load_state(path)
    arrays: dict[str, Any] = {}

    def read() -> list:
        skeleton = checkpoint.without_arrays(checkpoint.load_state(path), "", arrays)
        return [skeleton, {name: [x.shape, x.dtype.str] for name, x in arrays.items()}]

    skeleton, found = first_for_all(world, read)
    for name, (shape, dtype) in found.items():
        x = arrays[name] if world.rank == 0 else np.empty(shape, dtype)
        arrays[name] = world.broadcast(x)
    return checkpoint.with_arrays(skeleton, arrays)


def sums_of_ranks(parts: Sequence[dict[str, Sequence[float]]]) -> dict[str, tuple[float, float]]:
    """The sums and weights of recorded numbers over all ranks, added in the order of ranks."""
    sums: dict[str, tuple[float, float]] = {}
    for part in parts:
        for name, (total, weight) in part.items():
            before = sums.get(name, (0.0, 0))
            sums[name] = before[0] + total, before[1] + weight
    return sums
