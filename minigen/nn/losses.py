"""Losses as modules: settings are passed to the constructor, input and target to the call."""

from typing import Any

from minigen import ops
from minigen.backend.arrays import Array
from minigen.nn.module import Module
from minigen.tensors import Tensor


class Loss(Module):
    """A function of (input, target) with settings; reduction is "mean", "sum" or "none".

    ValueError for another reduction. Shapes and errors are those of the function in `ops`.
    """

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
    """Cross-entropy of logits and target classes; see `ops.cross_entropy`."""

    function = staticmethod(ops.cross_entropy)

    def __init__(
        self, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ):
        super().__init__(reduction, ignore_index=ignore_index, label_smoothing=label_smoothing)


class NLLLoss(Loss):
    """Negative log-likelihood of log-probabilities and target classes; see `ops.nll_loss`."""

    function = staticmethod(ops.nll_loss)

    def __init__(self, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction, ignore_index=ignore_index)


class BCELoss(Loss):
    """Binary cross-entropy of probabilities and targets in [0, 1]."""

    function = staticmethod(ops.binary_cross_entropy)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of logits and targets in [0, 1]; weight and pos_weight broadcast."""

    function = staticmethod(ops.binary_cross_entropy_with_logits)

    def __init__(
        self,
        weight: Tensor | Array | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | Array | None = None,
    ):
        super().__init__(reduction, weight=weight, pos_weight=pos_weight)


class KLDivLoss(Loss):
    """KL divergence of log-probabilities from a target: probabilities, or logs with log_target."""

    function = staticmethod(ops.kl_div)

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction, log_target=log_target)
