"""The state of a training run: everything that its remaining steps depend on."""

import copy
from collections.abc import Mapping
from typing import Any

from minigen.data import DataLoader
from minigen.distributed.wrapping import DistributedOptimizer
from minigen.errors import CheckpointError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.random import Generator


class Progress:
    """Networks, optimizers, position in the data, random generator and recorded numbers.

    A copy of `state_dict()` is enough to repeat the rest of the run bit for bit.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | Mapping[str, Optimizer],
        rng: Generator,
        loader: DataLoader | None = None,
    ):
        self.model, self.loader, self.rng = model, loader, rng
        if isinstance(optimizer, Mapping):
            self.optimizers = {f"{name}_optimizer": each for name, each in optimizer.items()}
        else:
            self.optimizers = {"optimizer": optimizer}
        for each in self.optimizers.values():
            if isinstance(each, DistributedOptimizer):
                each.add_buffers(model.buffers())
        self.epoch, self.step = 0, 0  # completed since the run began
        self.epoch_step = 0  # steps completed in the current epoch
        self.sums: dict[str, tuple[float, int]] = {}  # name: (sum, number) of the epoch
        self.history: list[dict[str, float]] = []  # one row per completed epoch

    @property
    def position(self) -> tuple[int, int]:
        """Completed epochs, and completed steps of the current one."""
        return self.epoch, self.epoch_step

    def state_dict(self) -> dict[str, Any]:
        """The whole state; its arrays share memory with the run."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "count": self.epoch_step,
            "sums": self.sums,
            "history": self.history,
            "model": self.model.state_dict(),
            **{name: each.state_dict() for name, each in self.optimizers.items()},
            "loader": self.loader and self.loader.state,
            "rng": list(self.rng.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a copy of a state. If it does not fit: CheckpointError, and nothing has changed."""
        before = copy.deepcopy(self.state_dict())
        try:
            self._load(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._load(before)
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(f"the state does not fit this run: {reason}") from None

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        for name, each in self.optimizers.items():
            each.load_state_dict(state[name])
        if self.loader is not None:
            self.loader.state = state["loader"]
        self.rng.state = tuple(state["rng"])
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
        self.epoch_step = int(state["count"])
        self.sums, self.history = dict(state["sums"]), list(state["history"])
