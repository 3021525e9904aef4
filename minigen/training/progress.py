"""The state of a training run: everything that the rest of it depends on."""

import copy
from collections.abc import Mapping
from typing import Any

from minigen.data import DataLoader
from minigen.errors import CheckpointError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.random import Generator


class Progress:
    """Networks, optimizers, the position in the data, the random stream, the numbers so far."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | Mapping[str, Optimizer],
        rng: Generator,
        loader: DataLoader | None = None,
    ):
        self.model, self.loader, self.rng = model, loader, rng
        self.optimizers = {"optimizer": optimizer}
        if isinstance(optimizer, Mapping):
            self.optimizers = {f"{name}_optimizer": each for name, each in optimizer.items()}
        self.epoch, self.step, self.count = 0, 0, 0  # count: the steps of the running epoch
        self.sums: dict[str, tuple[float, int]] = {}  # of the running epoch
        self.history: list[dict[str, float]] = []  # a row for each epoch

    @property
    def position(self) -> tuple[int, int]:
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
            "loader": self.loader and self.loader.state,
            "rng": list(self.rng.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state, of which arrays are copied. All or nothing: CheckpointError."""
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
        self.epoch, self.step, self.count = (int(state[key]) for key in ("epoch", "step", "count"))
        self.sums, self.history = dict(state["sums"]), list(state["history"])
