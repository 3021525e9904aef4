"""Local steps: ranks train on their own, and bring their weights together once in H steps.

Local SGD (Stich 2019, "Local SGD Converges Fast and Communicates Little") takes the mean of the
weights. DiLoCo (Douillard et al. 2023, "DiLoCo: Distributed Low-Communication Training of Language
Models") takes their mean change for a gradient d, and steps on it with SGD and Nesterov's momentum.
With outer weights x, and for rank r local weights y_r and its part w_r of the rows:

    y_r = x, then H steps of the inner optimizer, each on the rank's own rows
    d   = sum over ranks of w_r * (x - y_r)
    v   = outer_momentum * v + d
    x   = x - outer_lr * (d + outer_momentum * v)

With outer_lr = 1 and outer_momentum = 0, x becomes the mean of the y_r: this is local SGD. Momentum
makes steps in a lasting direction outer_lr / (1 - outer_momentum) = 7 times as long, after about
ten outer steps: a training of 20 of them does better with outer_momentum = 0.6, which makes it 1.75
(benchmarks/local_steps.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigen.backend.arrays import Array
from minigen.backend.devices import capturing, to_device
from minigen.communication.world import World
from minigen.distributed import local_states
from minigen.distributed.local_states import SETTINGS, like, write
from minigen.distributed.wrapping import DistributedOptimizer
from minigen.optim import Optimizer
from minigen.tensors import Tensor


class LocalSteps(DistributedOptimizer):
    """An optimizer whose ranks step on their own rows, and do an outer step after `every` of them.

    outer_lr and outer_momentum are of the outer step, which one process alone takes too. All ranks
    start from the parameters of rank 0. The inner optimizer's state and the statistics of batch
    norm are each rank's own. `bytes_sent` is what this rank has given to sums so far.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        world: World,
        every: int = 16,
        outer_lr: float = 0.7,
        outer_momentum: float = 0.9,
    ):
        super().__init__(optimizer, world)
        settings = local_states.checked_settings(every, outer_lr, outer_momentum)
        self.every, self.outer_lr, self.outer_momentum = settings
        self.steps, self.weight = 0, 0.0  # since the last outer step, and the sum of their w_r
        self.tensors: list[Tensor] = []  # parameters and buffers; their arrays are y
        self.outer: list[Array] = []  # x
        self.momentum: list[Array] = []  # v
        self.bytes_sent = 0
        world.in_step, world.handing_out = False, None
        self._add(self.params)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        super().add_param_group(group)
        self._add(self.params)

    def add_buffers(self, buffers: Iterable[Tensor]) -> None:
        self._add([y for y in buffers if y.dtype.kind == "f"])

    def _add(self, tensors: Sequence[Tensor]) -> None:
        """Bring these together too, from now on; they become those of rank 0."""
        before = {id(y) for y in self.tensors}
        new = [y for y in tensors if id(y) not in before]
        for y, first in zip(new, self.world.broadcast([y.data for y in new])):
            write(y, first)
            if y.node is not None:
                y.node.reducer = None  # a Synchronous optimizer may have set one
        self.tensors += new
        self.outer += [y.data.copy() for y in new]
        self.momentum += [np.zeros_like(y.data) for y in new]

    def step(self, gradients: Any = None) -> Any:
        """A step of the inner optimizer, and the outer step if it is the last of `every`."""
        if capturing.get() is not None:
            raise RuntimeError("LocalSteps does more at some steps than at others")
        result = super().step(gradients)
        rows = self.world.rows
        self.weight += rows.weight if rows else 1 / self.world.size
        self.steps += 1
        if self.steps == self.every:
            self.synchronize()
        return result

    def synchronize(self) -> None:
        """Do the outer step now, unless no step has been made since the last one."""
        if not self.steps:
            return
        local = [y.data for y in self.tensors]
        self.outer, self.momentum = like(self.outer, local), like(self.momentum, local)
        if self.world.size == 1 and (self.outer_lr, self.outer_momentum) == (1, 0):
            self.outer = [y.copy() for y in local]  # x - (x - y) may differ from y in a last bit
            self.steps, self.weight = 0, 0.0
            return
        changes = self._changes(local, self.weight)
        self.bytes_sent += sum(d.nbytes for d in changes)
        self._outer_step(self.world.all_reduce(changes, "sum"))

    def _changes(self, local: Sequence[Array], weight: float) -> list[Array]:
        """w_r * (x - y_r), where w_r is the mean over the steps."""
        return [(x - y) * x.dtype.type(weight / self.steps) for x, y in zip(self.outer, local)]

    def _outer_step(self, ds: Iterable[Array]) -> None:
        for y, x, v, d in zip(self.tensors, self.outer, self.momentum, ds):
            # Buffers and frozen parameters become means; momentum would move them on.
            rate, momentum = (self.outer_lr, self.outer_momentum) if y.requires_grad else (1.0, 0.0)
            v[...] = momentum * v + d
            x -= rate * (d + momentum * v)
            write(y, x)
        self.steps, self.weight = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """The state of all ranks, on rank 0; all ranks call it. See `local_states.state_of`."""
        return local_states.state_of(self, super().state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state; of as many ranks, it repeats their steps bit for bit.

        If it is of n other ranks, their outer step is done at once, and rank r takes the inner
        state of rank r modulo n. CheckpointError, and no change, if it does not fit.
        """
        ranks = local_states.checked_ranks(self, state)
        own = ranks[self.world.rank % len(ranks)]
        super().load_state_dict(own["optimizer"])
        for name in SETTINGS:
            setattr(self, name, state[name])
        self.steps, self.weight = state["steps"], own["weight"]
        now = [y.data for y in self.tensors]
        self.outer = like(state["outer"], now, copy=True)
        self.momentum = like(state["momentum"], now, copy=True)
        if self.steps and len(ranks) != self.world.size:
            changes = [self._changes(like(each["local"], now), each["weight"]) for each in ranks]
            self._outer_step(map(sum, zip(*changes)))
        else:
            for y, value in zip(self.tensors, own["local"] if self.steps else state["outer"]):
                write(y, to_device(value, y.device))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in SETTINGS)
        return f"LocalSteps({self.optimizer!r}, {self.world!r}, {settings})"
