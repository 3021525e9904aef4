"""Learning-rate schedules as objects, with PyTorch's names and numbers.

    schedule = StepLR(optimizer, step_size=30)
    for epoch in range(90):
        ...  # the optimizer's steps
        schedule.step()

A schedule sets group["lr"] of each group of the optimizer when it is made, and again at each step.
What it starts from is kept as group["initial_lr"]. Several schedules of one optimizer multiply, but
for LambdaLR and OneCycleLR. Resume: make optimizer and schedule anew, then load both states.
Left out on purpose: schedules that a LambdaLR of one line replaces, such as PolynomialLR.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from minigen.autodiff import left_out as _left_out
from minigen.optim.one_cycle import OneCycleLR
from minigen.optim.optimizer import Optimizer
from minigen.optim.scheduler import LRScheduler, checked_count, of_group

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class StepLR(LRScheduler):
    """lr * gamma after each step_size epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        self.step_size, self.gamma = checked_count("StepLR", "step_size", step_size), gamma
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        return now * self.gamma if epoch and epoch % self.step_size == 0 else now


class MultiStepLR(LRScheduler):
    """lr * gamma at each epoch that is in milestones."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        return now * self.gamma ** (self.milestones.count(epoch) if epoch else 0)


class ExponentialLR(LRScheduler):
    """lr * gamma at each epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float):
        self.gamma = gamma
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        return now * self.gamma if epoch else now


class LinearLR(LRScheduler):
    """lr times a factor that goes from start_factor to end_factor in total_iters epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ):
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueError(
                "LinearLR: start_factor must be in (0, 1] and end_factor in [0, 1], got "
                f"{start_factor} and {end_factor}"
            )
        self.start, self.end = start_factor, end_factor
        self.total = checked_count("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        factor = lambda e: self.start + (self.end - self.start) * e / self.total
        if epoch == 0:
            return now * factor(0)
        return now * factor(epoch) / factor(epoch - 1) if epoch <= self.total else now


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from lr to eta_min in T_max epochs, and back (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        self.T_max, self.eta_min = checked_count("CosineAnnealingLR", "T_max", T_max), eta_min
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        height = lambda e: 1 + math.cos(math.pi * e / self.T_max)
        if epoch == 0:
            return now
        if (epoch - 1) % (2 * self.T_max) == self.T_max:  # the epoch before was at the bottom
            return now + (base - self.eta_min) * height(epoch) / 2
        return self.eta_min + (now - self.eta_min) * height(epoch) / height(epoch - 1)


class LambdaLR(LRScheduler):
    """The first lr times lr_lambda(epoch), a function or a list with one for each group.

    `minigen.schedule` has such functions: LambdaLR(optimizer, schedule.cosine(100, warmup=5)).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ):
        self.lr_lambda = lr_lambda
        groups = len(getattr(optimizer, "param_groups", ()))
        if not callable(lr_lambda) and not isinstance(lr_lambda, Sequence):
            raise TypeError(f"LambdaLR: lr_lambda is a function of the epoch, got {lr_lambda!r}")
        if not callable(lr_lambda) and len(lr_lambda) != groups:
            raise ValueError(f"LambdaLR: {len(lr_lambda)} functions for {groups} groups")
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        return base * (self.lr_lambda if callable(self.lr_lambda) else self.lr_lambda[i])(epoch)


class SequentialLR(LRScheduler):
    """schedulers of one optimizer, one after the other: at each of milestones starts the next."""

    SAVED = ("last_epoch", "last_lr", "base_lrs", "states")

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ):
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(set(milestones)):
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} growing "
                f"milestones, got {list(milestones)}"
            )
        for each in schedulers:
            if not isinstance(each, LRScheduler) or isinstance(each, ReduceLROnPlateau):
                raise TypeError(f"SequentialLR: a {type(each).__name__} cannot be one of several")
            if each.optimizer is not optimizer:
                raise ValueError("SequentialLR: a scheduler is of another optimizer")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        self.optimizer = optimizer
        self.restart()

    def restart(self):
        self.schedulers[0].restart()
        self.last_epoch, self.last_lr = 0, self.schedulers[0].get_last_lr()

    def step(self):
        scheduler = self.schedulers[bisect_right(self.milestones, self.last_epoch + 1)]
        if self.last_epoch + 1 in self.milestones:
            scheduler.restart()
        else:
            scheduler.step()
        self.last_epoch, self.last_lr = self.last_epoch + 1, scheduler.get_last_lr()

    @property
    def states(self) -> list[dict[str, Any]]:
        """The states of the schedulers."""
        return [each.state_dict() for each in self.schedulers]

    @states.setter
    def states(self, states: list[dict[str, Any]]) -> None:
        for each, state in zip(self.schedulers, states):
            each.load_state_dict(state)


class ReduceLROnPlateau(LRScheduler):
    """lr * factor once a metric has not improved for more than `patience` epochs.

    mode: whether the metric should become "min" or "max". An improvement is larger than threshold,
    a share of the best ("rel") or a difference ("abs", threshold_mode). cooldown: epochs after a
    reduction that do not count. min_lr: a number, or one for each group. eps: a smaller reduction
    is not made.
    """

    SAVED = ("last_epoch", "last_lr", "best", "num_bad_epochs", "cooldown_counter")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ):
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                "ReduceLROnPlateau: mode must be 'min' or 'max' and threshold_mode 'rel' or 'abs', "
                f"got {mode!r} and {threshold_mode!r}"
            )
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be in [0, 1), got {factor}")
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.min_lr, self.eps = min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        if self.num_bad_epochs <= self.patience:
            return now
        reduced = max(now * self.factor, of_group(self.min_lr, i))
        return reduced if now - reduced > self.eps else now

    def step(self, metrics: Any) -> None:
        """Go to the next epoch, of which metrics is the number to watch."""
        value, sign = float(metrics), 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            limit = self.best * (1 - sign * self.threshold)
        else:
            limit = self.best - sign * self.threshold
        self.num_bad_epochs += 1
        if sign * value < sign * limit:
            self.best, self.num_bad_epochs = value, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        super().step()
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0


if not _TYPE_CHECKING:

    def __getattr__(name):
        raise AttributeError(_left_out.missing("optim.lr_scheduler", name))
