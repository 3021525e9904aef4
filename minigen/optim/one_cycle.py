"""One cycle of the learning rate, with momentum against it (Smith and Topin 2018)."""

import math
from collections.abc import Sequence

from minigen.optim.optimizer import Optimizer
from minigen.optim.scheduler import LRScheduler, checked_count, of_group


class OneCycleLR(LRScheduler):
    """Up to max_lr and down to almost 0, momentum down and up.

    max_lr: a number, or one for each group. total_steps: calls of step, one after each batch; or
    epochs times steps_per_epoch. pct_start: the share of the rise. anneal_strategy: "cos" or
    "linear". cycle_momentum: from max_momentum to base_momentum and back (beta1 of Adam). It starts
    at max_lr / div_factor, and ends at final_div_factor times less.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if anneal_strategy not in ("cos", "linear") or not 0 <= pct_start <= 1:
            raise ValueError(
                "OneCycleLR: anneal_strategy must be 'cos' or 'linear' and pct_start in [0, 1], "
                f"got {anneal_strategy!r} and {pct_start}"
            )
        self.total = checked_count("OneCycleLR", "total_steps", total_steps)
        self.max_lr, self.strategy, self.peak = max_lr, anneal_strategy, pct_start * self.total - 1
        self.momenta = (max_momentum, base_momentum, max_momentum) if cycle_momentum else None
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        super().__init__(optimizer)

    def lr(self, i, epoch, now, base):
        high = of_group(self.max_lr, i)
        low = high / self.div_factor
        return self._between(epoch, low, high, low / self.final_div_factor)

    def _set(self, epoch, before):
        if epoch > self.total:
            raise ValueError(f"OneCycleLR: step {epoch} is after the last one, {self.total}")
        super()._set(epoch, before)
        for group in self.optimizer.param_groups if self.momenta else ():
            if "betas" in group:
                group["betas"] = (self._between(epoch, *self.momenta), group["betas"][1])
            else:
                group["momentum"] = self._between(epoch, *self.momenta)

    def _between(self, epoch, first, middle, last):
        """A value that goes from first to middle, at the peak of the rise, and then to last."""
        if epoch <= self.peak:
            start, stop, share = first, middle, epoch / self.peak
        else:
            start, stop = middle, last
            share = (epoch - self.peak) / (self.total - 1 - self.peak)
        if self.strategy == "linear":
            return start + (stop - start) * share
        return stop + (start - stop) / 2 * (1 + math.cos(math.pi * share))
