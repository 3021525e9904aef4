"""Learning-rate schedules: functions from the step to a factor of the base learning rate.

factor = cosine(total=10_000, warmup=100)
for group in optimizer.param_groups:
    group["lr"] = base * factor(step)

`optim.lr_scheduler` has PyTorch's objects, which set the learning rates themselves.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(warmup: int = 0) -> Schedule:
    """The factor 1, after a linear increase over the first `warmup` steps."""
    return lambda step: min(1.0, (step + 1) / (warmup + 1))


def step(size: int, gamma: float = 0.1) -> Schedule:
    """The factor gamma^(step // size): multiplied by gamma every `size` steps."""
    if size < 1:
        raise ValueError(f"step: size must be at least 1, got {size}")
    return lambda now: gamma ** (now // size)


def cosine(total: int, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """Half a cosine from 1 to floor at step `total`, after a linear increase over `warmup` steps.

    Loshchilov and Hutter 2017, without restarts. ValueError unless 0 <= warmup < total.
    """
    if not 0 <= warmup < total:
        raise ValueError(f"cosine needs 0 <= warmup < total, got {warmup} and {total}")

    def factor(now: int) -> float:
        if now < warmup:
            return (now + 1) / (warmup + 1)
        progress = min(1.0, (now - warmup) / (total - warmup))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor
