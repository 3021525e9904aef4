"""Training on several ranks: the optimizer that flags ask for, and what ranks agree on in a run."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.backend.devices import to_numpy
from minigen.communication.agreement import first_for_all, refuse_differences
from minigen.communication.world import World
from minigen.distributed import Asynchronous, LocalSteps, Synchronous
from minigen.distributed.wrapping import DistributedOptimizer
from minigen.optim import Optimizer
from minigen.training import checkpoint

SPACING = 16  # steps


def distribute(optimizer: Optimizer, world: World, args: argparse.Namespace) -> Optimizer:
    """The optimizer with which the ranks of world train together, as the flags say.

    One process alone keeps its optimizer, except with --local-steps, whose outer steps it takes,
    too. DistributedError if ranks have models of different shapes or weights.
    """
    shapes = [[list(p.shape), str(p.dtype)] for p in optimizer.params]
    remedy = "start all ranks with the same script, flags and data"
    refuse_differences(world, {"the shapes of the parameters": shapes}, remedy)
    if world.size > 1:
        weights = checkpoint.digest([to_numpy(p.data) for p in optimizer.params])
        refuse_differences(world, {"the digest of the initial weights": weights}, remedy)
    if getattr(args, "local_steps", None):
        return LocalSteps(optimizer, world, args.local_steps)
    if world.size > 1 and getattr(args, "staleness", None) is not None:
        return Asynchronous(optimizer, world, args.staleness)
    return Synchronous(optimizer, world) if world.size > 1 else optimizer


class Agreement:
    """Wishes of any rank, which all ranks follow after the same step.

    The plain way is a sum over ranks after each step, for which every rank waits. Instead it goes
    on during the next step: what a rank wishes after step n, all know after step n + 1. Ranks that
    do not step together (LocalSteps) exchange wishes once in SPACING steps.
    """

    def __init__(self, world: World):
        self.world, self.sums, self.is_pending, self.calls = world, None, False, 0

    def exchange(self, wishes: Sequence[bool], now: bool) -> list[bool]:
        """For each wish, whether some rank had it after the previous step; with now, also this."""
        if self.world.size == 1:
            return list(wishes)
        self.calls += 1
        if not now and not self.world.in_step and self.calls % SPACING:
            return [False] * len(wishes)
        if self.sums is None:
            self.sums = self.world.reductions([np.zeros(len(wishes))])
        found = np.zeros(len(wishes))
        if self.is_pending:
            found, self.is_pending = self.sums.finish(0), False
        if now or not found.any():
            self.sums.ready(0)
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


def synchronize(run: Any) -> None:
    """Have all ranks of a `Run` hold the same weights."""
    for optimizer in run.optimizers.values():
        if isinstance(optimizer, DistributedOptimizer):
            optimizer.synchronize()


def end_if_asked(run: Any, late: bool) -> None:
    """After a step of a `Run` whose ranks go at their own pace: nothing is exchanged here."""
    if run.nonfinite:
        raise FloatingPointError(run.nonfinite)
    if late or run.interrupts.requested:
        run.world.handing_out.stop()
    if run.bar is not None:
        run.bar.update(run.epoch_step + 1 - run.bar.n)


def after_parts(run: Any) -> None:
    """When all parts of batches have been handed out, and the ranks of a `Run` meet again."""
    synchronize(run)
    run.world.handing_out.align(run.rng)  # ranks have drawn as often as they have had parts
    run.move_to(run.world.handing_out.end)
    late = time.monotonic() - run.started > run.max_seconds
    requested, late = run.agreement.exchange((run.interrupts.requested, late), now=True)
    run.interrupts.requested |= requested
    if requested or late:
        run.stop()


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
