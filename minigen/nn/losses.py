"""Losses as modules: the settings at construction, input and target at the call."""

from typing import Any

from minigen import ops
from minigen.backend.arrays import Array
from minigen.nn.module import Module
from minigen.tensors import Tensor


class Loss(Module):
    """A function of (input, target) with settings; `reduction` is "mean", "sum" or "none"."""

    function: Any = None

    def __init__(self, reduction: str = "mean", **settings: Any):
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.settings = {"reduction": reduction, **settings}

    def forward(self, input: Tensor, target: Tensor | Array) -> Tensor:
        return type(self).function(input, target, **self.settings)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())


class MSELoss(Loss):
    """(input - target)^2."""

    function = staticmethod(ops.mse_loss)


class L1Loss(Loss):
    """|input - target|."""

    function = staticmethod(ops.l1_loss)


class SmoothL1Loss(Loss):
    """Quadratic below beta, linear above."""

    function = staticmethod(ops.smooth_l1_loss)

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction, beta=beta)


class HuberLoss(Loss):
    """Quadratic below delta, linear above."""

    function = staticmethod(ops.huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction, delta=delta)


class CrossEntropyLoss(Loss):
    """Of logits against classes; see ops.cross_entropy."""

    function = staticmethod(ops.cross_entropy)

    def __init__(
        self, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ):
        super().__init__(reduction, ignore_index=ignore_index, label_smoothing=label_smoothing)


class NLLLoss(Loss):
    """Of log-probabilities against classes; see ops.nll_loss."""

    function = staticmethod(ops.nll_loss)

    def __init__(self, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction, ignore_index=ignore_index)


class BCELoss(Loss):
    """Of probabilities against targets in [0, 1]."""

    function = staticmethod(ops.binary_cross_entropy)


class BCEWithLogitsLoss(Loss):
    """Of logits against targets in [0, 1]; weight and pos_weight broadcast."""

    function = staticmethod(ops.binary_cross_entropy_with_logits)

    def __init__(
        self,
        weight: Tensor | Array | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | Array | None = None,
    ):
        super().__init__(reduction, weight=weight, pos_weight=pos_weight)


class KLDivLoss(Loss):
    """Of log-probabilities against probabilities, or log-probabilities with log_target."""

    function = staticmethod(ops.kl_div)

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction, log_target=log_target)
