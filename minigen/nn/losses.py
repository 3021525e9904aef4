"""Losses as modules: settings are passed to the constructor, input and target to the call."""

from typing import Any

import numpy as np

from minigen import ops
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn.module import Module
from minigen.tensors import Tensor


class Loss(Module):
    """A function of (input, target) with settings; reduction is "mean", "sum" or "none".

    ValueError for another reduction. Shapes and errors are those of the function in `ops`. Weights
    are buffers: they are saved and moved with the module.
    """

    function: Any = None
    reductions: tuple[str, ...] = ("mean", "sum", "none")
    weights: tuple[str, ...] = ()

    def __init__(self, reduction: str = "mean", **settings: Any):
        if reduction not in self.reductions:
            *names, last = map(repr, self.reductions)
            raise ValueError(f"reduction must be {', '.join(names)} or {last}, got {reduction!r}")
        self.settings = {"reduction": reduction, **settings}

    def weigh(self, **weights: Tensor | Array | float | None) -> None:
        """Set weights that are passed to the function: arrays as buffers, numbers as settings."""
        weights = {name: weight for name, weight in weights.items() if weight is not None}
        numbers = {name: float(w) for name, w in weights.items() if not _is_array(w)}
        self.settings = self.settings | numbers
        self.weights = tuple(name for name in weights if name not in numbers)
        for name in self.weights:
            self.register_buffer(name, weights[name])

    def forward(self, input: Tensor, target: Tensor | Array) -> Tensor:
        weights = {name: getattr(self, name) for name in self.weights}
        return type(self).function(input, target, **weights, **self.settings)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())


def _is_array(x):
    return hasattr(x, "ndim") and not isinstance(x, np.generic)


class MSELoss(Loss):
    """(input - target)^2."""

    function = staticmethod(ops.mse_loss)


class L1Loss(Loss):
    """|input - target|."""

    function = staticmethod(ops.l1_loss)


class SmoothL1Loss(Loss):
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2."""

    function = staticmethod(ops.smooth_l1_loss)

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction, beta=beta)


class HuberLoss(Loss):
    """d^2 / 2 where d = |input - target| < delta, else delta (d - delta / 2) (Huber 1964)."""

    function = staticmethod(ops.huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction, delta=delta)


class CrossEntropyLoss(Loss):
    """Cross-entropy of logits (B, C, ...) and targets: classes (B, ...), or probabilities of all.

    weight (C,) has a factor for each class; targets of ignore_index do not count; label_smoothing
    is the share of the target that is spread over all classes. See `ops.cross_entropy`.
    """

    function = staticmethod(ops.cross_entropy)

    def __init__(
        self,
        weight: Tensor | Array | None = None,
        *,
        ignore_index: int | None = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(reduction, ignore_index=ignore_index, label_smoothing=label_smoothing)
        self.weigh(weight=_class_weights(weight))


class NLLLoss(Loss):
    """-log-probability of the target class, from log-probabilities (B, C, ...).

    weight (C,) has a factor for each class; targets of ignore_index do not count: `ops.nll_loss`.
    """

    function = staticmethod(ops.nll_loss)

    def __init__(
        self,
        weight: Tensor | Array | None = None,
        *,
        ignore_index: int | None = -100,
        reduction: str = "mean",
    ):
        super().__init__(reduction, ignore_index=ignore_index)
        self.weigh(weight=_class_weights(weight))


def _class_weights(weight):
    """weight as (C,); ShapeError for another shape, as of an ignore_index passed by position."""
    weight = np.asarray(weight, np.float32) if isinstance(weight, list | tuple) else weight
    if weight is not None and np.ndim(raw(weight)) != 1:
        raise ShapeError(
            f"weight has a factor for each class, shape (C,), got {weight!r}; "
            "ignore_index, reduction and label_smoothing are passed by keyword"
        )
    return weight


class BCELoss(Loss):
    """Binary cross-entropy of probabilities and targets in [0, 1]; weight broadcasts."""

    function = staticmethod(ops.binary_cross_entropy)

    def __init__(self, weight: Tensor | Array | None = None, *, reduction: str = "mean"):
        super().__init__(reduction)
        self.weigh(weight=weight)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of logits and targets in [0, 1]; weight and pos_weight broadcast."""

    function = staticmethod(ops.binary_cross_entropy_with_logits)

    def __init__(
        self,
        weight: Tensor | Array | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Tensor | Array | None = None,
    ):
        super().__init__(reduction)
        self.weigh(weight=weight, pos_weight=pos_weight)


class KLDivLoss(Loss):
    """KL divergence of log-probabilities from a target: probabilities, or logs with log_target.

    reduction may be "batchmean", the sum divided by the length of axis 0: the divergence itself.
    """

    function = staticmethod(ops.kl_div)
    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction, log_target=log_target)
