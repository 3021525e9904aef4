"""The base class of schedule objects: sets learning rates at each step, saves where it is."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minigen.errors import CheckpointError
from minigen.optim.optimizer import Optimizer


class LRScheduler:
    """The base class: `last_epoch` counts the calls of step; a subclass defines `lr`.

    optimizer: the one whose learning rates are set.
    """

    SAVED: tuple[str, ...] = ("last_epoch", "last_lr", "base_lrs")

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: optimizer is a {type(optimizer).__name__}, expected one "
                "of minigen.optim"
            )
        self.optimizer, self.last_epoch, self.last_lr = optimizer, 0, []
        self._set(0, [group["lr"] for group in optimizer.param_groups])

    def lr(self, i: int, epoch: int, now: float, base: float) -> float:
        """The learning rate of group i at an epoch, from that of the epoch before and the first."""
        raise NotImplementedError

    @property
    def base_lrs(self) -> list[float]:
        """The learning rate of each group before any schedule."""
        return [g.setdefault("initial_lr", g["lr"]) for g in self.optimizer.param_groups]

    @base_lrs.setter
    def base_lrs(self, values: list[float]) -> None:
        for group, value in zip(self.optimizer.param_groups, values):
            group["initial_lr"] = value

    def step(self) -> None:
        """Go to the next epoch, and set its learning rates."""
        self._set(self.last_epoch + 1, [group["lr"] for group in self.optimizer.param_groups])

    def restart(self) -> None:
        """Go to epoch 0, from the learning rates before any schedule."""
        self._set(0, self.base_lrs)

    def _set(self, epoch: int, before: list[float]) -> None:
        """Set the learning rates of an epoch; ValueError, and no change, if one is out of range."""
        pairs = zip(before, self.base_lrs)
        lrs = [float(self.lr(i, epoch, now, base)) for i, (now, base) in enumerate(pairs)]
        for lr in lrs:
            if not 0 <= lr < math.inf:
                raise ValueError(
                    f"{type(self).__name__}: the learning rate of epoch {epoch} is {lr}, expected "
                    "a finite number that is not negative"
                )
        for group, lr in zip(self.optimizer.param_groups, lrs):
            group["lr"] = lr
        self.last_epoch, self.last_lr = epoch, lrs

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that this schedule set last."""
        return list(self.last_lr)

    def state_dict(self) -> dict[str, Any]:
        """A snapshot of where the schedule is; its settings are not in it."""
        values = {key: getattr(self, key) for key in self.SAVED}
        return {key: list(v) if isinstance(v, list) else v for key, v in values.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that state_dict returned; load the optimizer's state, too.

        CheckpointError, with all differences and no change, if it does not fit.
        """
        own = self.state_dict()
        if not isinstance(state, Mapping):
            raise CheckpointError(f"{type(self).__name__}: a state is a dict, got {state!r}")
        wrong = [f"it lacks {key!r}" for key in own.keys() - state.keys()]
        wrong += [f"it has {key!r}" for key in state.keys() - own.keys()]
        for key in own.keys() & state.keys():
            if not _alike(own[key], state[key]):
                wrong.append(f"{key!r} is {state[key]!r}")
        if wrong:
            raise CheckpointError(
                f"the state does not fit {type(self).__name__}: " + "; ".join(sorted(wrong))
            )
        for key in own:
            kind = type(own[key])  # list(...) copies; best stays a float
            setattr(self, key, kind(state[key]))


def _alike(own: Any, value: Any) -> bool:
    """Whether value may replace own: a dict of the same keys, a list as long, a number in range."""
    if isinstance(own, dict):
        same = isinstance(value, Mapping) and value.keys() == own.keys()
        return same and all(_alike(own[key], value[key]) for key in own)
    if isinstance(own, list):  # of learning rates, or of states
        same = isinstance(value, list) and len(value) == len(own)
        return same and all(
            _alike(*pair) if isinstance(pair[0], dict) else _is_number(pair[1], 0)
            for pair in zip(own, value)
        )
    if isinstance(own, float):  # the best metric, infinite at first
        return _is_number(value, -math.inf) or (isinstance(value, float) and math.isinf(value))
    return isinstance(value, int) and _is_number(value, 0)


def _is_number(value: Any, least: float) -> bool:
    """Whether value is a finite number of at least `least`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and least <= value < math.inf


def checked_count(name: str, key: str, value: int) -> int:
    """value, the argument `key` of a schedule, as an integer of at least 1; else ValueError."""
    if isinstance(value, bool) or value != int(value) or value < 1:
        raise ValueError(f"{name}: {key} must be an integer of at least 1, got {value}")
    return int(value)


def of_group(value: float | Sequence[float], i: int) -> float:
    """The value of group i: value itself, or its element if there is one for each group."""
    return value if isinstance(value, int | float) else value[i]
