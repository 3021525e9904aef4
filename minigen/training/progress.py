"""Where a training run stands: everything that the rest of it depends on."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigen.data import DataLoader
from minigen.errors import CheckpointError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.random import Generator


class Progress:
    """Networks, optimizers, the place in the data, the random stream, and the numbers so far."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | Mapping[str, Optimizer],
        loader: DataLoader,
        rng: Generator,
    ):
        self.model, self.loader, self.rng = model, loader, rng
        self.optimizers = {"optimizer": optimizer}
        if isinstance(optimizer, Mapping):
            self.optimizers = {f"{name}_optimizer": each for name, each in optimizer.items()}
        self.epoch, self.step, self.count = 0, 0, 0  # count: the steps of the running epoch
        self.sums: dict[str, tuple[float, int]] = {}  # of the running epoch
        self.history: list[dict[str, float]] = []  # a row for each epoch

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done, and steps of the next one."""
        return self.epoch, self.count

    def state_dict(self) -> dict[str, Any]:
        """All of it, sharing memory with the run."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "count": self.count,
            "sums": self.sums,
            "history": self.history,
            "model": self.model.state_dict(),
            **{name: each.state_dict() for name, each in self.optimizers.items()},
            "loader": self.loader.state,
            "rng": list(self.rng.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state, of which arrays are copied. All or nothing: CheckpointError."""
        before = copy.deepcopy(self.state_dict())
        try:
            self._take(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._take(before)
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(f"the state does not fit this run: {reason}") from None

    def _take(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        for name, each in self.optimizers.items():
            each.load_state_dict(state[name])
        self.loader.state, self.rng.state = state["loader"], tuple(state["rng"])
        self.epoch, self.step, self.count = (int(state[key]) for key in ("epoch", "step", "count"))
        self.sums, self.history = dict(state["sums"]), list(state["history"])

    def spoilt_weights(self) -> str:
        """Which weight is not finite, in words; empty if all are."""
        for name, p in self.model.named_parameters():
            if not np.isfinite(p.data).all():
                return f"{name} has values that are not finite"
        return ""
