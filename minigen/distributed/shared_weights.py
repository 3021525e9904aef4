"""The weights and the state of an optimizer in a window of memory that all ranks share."""

from typing import Any

import numpy as np

from minigen.backend.arrays import is_cupy
from minigen.communication.world import World
from minigen.errors import DistributedError
from minigen.optim import Optimizer


class SharedWeights:
    """Weights and state of an optimizer, for one rank at a time; all ranks make it together.

    Use it inside `with shared.locked():`. The state is worked on in place, in the window. Weights
    are copied from it and to it, since a graph may hold the arrays of the parameters. `updates`
    counts the updates of all ranks: an array of one number.
    """

    def __init__(self, optimizer: Optimizer, world: World):
        for i, p in enumerate(optimizer.params):
            if is_cupy(p.data):
                raise DistributedError(
                    f"parameter {i} is on a GPU, whose memory ranks cannot share: train on the "
                    "CPU, or with distributed.Synchronous or LocalSteps"
                )
        self.optimizer = optimizer
        weights = [p.data for p in optimizer.params]
        used = [
            [key for key, setting in optimizer.STATE.items() if not setting or group[setting]]
            for group in optimizer.group_of
        ]
        numbers = [np.zeros(1, np.int64), np.zeros(len(used), np.int64)]
        states = [p for p, keys in zip(weights, used) for _ in keys]
        self.window = world.window([*numbers, *weights, *states])
        self.updates, self.steps, *arrays = self.window.arrays  # steps: of each parameter
        self.weights, rest = arrays[: len(used)], iter(arrays[len(used) :])
        self.states = [{key: next(rest) for key in keys} for keys in used]
        self.locked = self.window.locked

    def read(self) -> None:
        """Copy the weights into the parameters, and have the optimizer work on the state here."""
        for p, w in zip(self.optimizer.params, self.weights):
            p.data[...] = w
            if p.node is not None:
                p.node.version += 1
        self.take_state()
        self.versions = self._versions()

    def take_state(self) -> None:
        """Have the optimizer work on the state here."""
        counts = "step" in self.optimizer.SETTINGS
        for i, (n, state) in enumerate(zip(self.steps.tolist(), self.states)):
            # Before its first step a parameter has no state: the optimizer then makes it.
            self.optimizer.state[i] = {**state, **({"step": n} if counts else {})} if n else {}
        self.optimizer.bucketed = None  # the numbers of steps may differ now within a bucket

    def write(self) -> None:
        """Copy the weights, and state that the optimizer has made, into the window."""
        for p, w in zip(self.optimizer.params, self.weights):
            w[...] = p.data
        for i, (made, state) in enumerate(zip(self.optimizer.state, self.states)):
            for key, array in state.items():
                if made.get(key, array) is not array:
                    array[...] = made[key]
            self.steps[i] = made.get("step", bool(made))
        self.versions = self._versions()

    def check(self) -> None:
        """DistributedError if something but `read` and a step has written to the parameters."""
        if self.versions != self._versions():
            raise DistributedError(
                "the parameters of an Asynchronous optimizer were written to, by other than its "
                "steps: load weights before it is made, or load its state, too, after them"
            )

    def _versions(self) -> list[Any]:
        return [p.node and p.node.version for p in self.optimizer.params]
