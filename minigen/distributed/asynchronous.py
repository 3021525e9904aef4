"""Asynchronous training with bounded staleness: no rank waits for the gradients of others.

Downpour SGD (Dean et al. 2012, "Large Scale Distributed Deep Networks", section 4.1). The weights
are in a window of memory that all ranks share. A rank reads them after update u, computes the
gradient g of its part of a batch at its own pace, and applies it to the weights that it then
finds, after update v. The updates between are all by others:

    w[v + 1] = w[v] - lr * g(w[u]),    v - u <= staleness

So with SGD; other optimizers have their own formula, and their state is in the window, too. In the
paper servers keep the weights; here each rank updates them itself, alone under a lock. A gradient
that comes later than the bound is dropped, and its rank goes on from the newest weights.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigen.backend.arrays import owner
from minigen.communication.handing_out import HandingOut
from minigen.communication.world import World
from minigen.distributed.shared_weights import SharedWeights
from minigen.distributed.wrapping import DistributedOptimizer
from minigen.errors import DistributedError
from minigen.gradients import enable_grad
from minigen.optim import Optimizer
from minigen.tensors import Tensor


class Asynchronous(DistributedOptimizer):
    """An optimizer whose weights all ranks update, each as soon as it has a gradient.

    staleness: the number of updates by others, between a rank's read of the weights and the arrival
    of its gradient, up to which the gradient is applied; n ranks of the same speed need n - 1.
    `dropped` counts this rank's gradients that came later. A rank's settings (lr ...) are those of
    its own updates. The parameters become those of rank 0. Batches are handed out in parts, one for
    each update, to the rank that is free (`World.parts`).
    """

    def __init__(self, optimizer: Optimizer, world: World, staleness: int = 4):
        super().__init__(optimizer, world)
        if isinstance(staleness, bool) or not isinstance(staleness, int) or staleness < 0:
            raise ValueError(f"Asynchronous: staleness must be an integer >= 0, got {staleness!r}")
        self.staleness, self.dropped = staleness, 0
        self.buffers: list[Tensor] = []
        self.shared: SharedWeights | None = None
        if world.size > 1:
            self.shared = SharedWeights(optimizer, world)
            world.in_step, world.handing_out = False, world.handing_out or HandingOut(world)
            for p in self.params:
                if p.node is not None:
                    p.node.reducer = None  # a Synchronous optimizer may have set one
            self._publish()

    def step(self, gradients: Any = None) -> Any:
        """Apply a gradient, or drop it if it comes too late; see `Optimizer.step`.

        A closure is called again, at the newest weights, until its gradient is in time. Raises
        FloatingPointError for a gradient that is not finite: it would spoil the weights of all.
        """
        if self.shared is None:
            return self.optimizer.step(gradients)
        closure, result, in_time = gradients if callable(gradients) else None, None, False
        while not in_time:
            if closure is not None:
                with enable_grad():
                    result, gradients = closure(), None
            arrived = self._checked(
                [p.grad for p in self.params] if gradients is None else gradients
            )
            in_time = self._arrive(arrived)
            if closure is None:
                break
        return result

    def _arrive(self, gradients: list[Tensor | None]) -> bool:
        """Apply gradients if they are in time, and read the newest weights."""
        rows = self.world.rows
        with self.shared.locked():
            in_time = self.shared.updates[0] - self.read_after <= self.staleness
            self.shared.read()
            if in_time and (rows is None or rows.weight > 0):
                self.optimizer.step(gradients)
                self.shared.write()
                self.shared.updates += 1
            self.read_after = int(self.shared.updates[0])
        self.dropped += not in_time
        return bool(in_time)

    def _checked(self, gradients: Tensor | Iterable[Tensor | None]) -> list[Tensor | None]:
        """The gradients, none in the memory of a parameter, which will be overwritten."""
        self.shared.check()
        found = [gradients] if isinstance(gradients, Tensor) else list(gradients)
        owners = {id(owner(p.data)) for p in self.params}
        for i, g in enumerate(found):
            if g is not None and not np.isfinite(g.data).all():
                raise FloatingPointError(
                    f"Asynchronous: the gradient of parameter {i} is not finite on rank "
                    f"{self.world.rank}; it was not applied"
                )
            if g is not None and id(owner(g.data)) in owners:
                found[i] = Tensor(g.data.copy())
        return found

    def add_buffers(self, buffers: Iterable[Tensor]) -> None:
        self.buffers += [x for x in buffers if x.dtype.kind == "f"]

    def synchronize(self) -> None:
        """Wait until all ranks call it; then all hold the newest weights, and mean buffers."""
        if self.shared is not None:
            self.world.barrier()
            with self.shared.locked():
                self.shared.read()
                self.read_after = int(self.shared.updates[0])
            means = self.world.all_reduce([x.data for x in self.buffers])
            for x, mean in zip(self.buffers, means):
                x.data[...] = mean
            self.world.barrier()

    def _publish(self) -> None:
        """Make the weights and the state of rank 0 those of all."""
        self.world.barrier()
        if self.world.rank == 0:
            with self.shared.locked():
                self.shared.write()
        self.synchronize()

    def state_dict(self) -> dict[str, Any]:
        """The state of the inner optimizer, as all ranks have updated it so far."""
        if self.shared is None:
            return self.optimizer.state_dict()
        with self.shared.locked():
            self.shared.take_state()
            return self.optimizer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state; all ranks do so together, and get the weights and the state of rank 0."""
        self.optimizer.load_state_dict(state)
        if self.shared is not None:
            self._publish()

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        if self.shared is not None:
            raise DistributedError(
                "Asynchronous: the ranks share the parameters that it was made with; add the group "
                "to the inner optimizer before that"
            )
        self.optimizer.add_param_group(group)
