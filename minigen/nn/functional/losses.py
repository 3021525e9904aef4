"""Losses as functions, with PyTorch's signatures.

reduction is "mean", "sum" or "none", and goes by keyword. Of the shapes of input and target a loss
asks that they are equal, and raises where PyTorch would broadcast.
"""

from minigen import ops
from minigen.backend.arrays import Array
from minigen.nn.options import refuse
from minigen.tensors import Tensor

Weight = Tensor | Array | None


def cross_entropy(
    input: Tensor,
    target: Tensor | Array,
    weight: Weight = None,
    *,
    ignore_index: int | None = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of logits (B, C, ...) and classes (B, ...), or probabilities (B, C, ...)."""
    smoothing = label_smoothing
    options = {"reduction": reduction, "ignore_index": ignore_index, "label_smoothing": smoothing}
    return ops.cross_entropy(input, target, weight, **options)


def nll_loss(
    input: Tensor,
    target: Tensor | Array,
    weight: Weight = None,
    *,
    ignore_index: int | None = -100,
    reduction: str = "mean",
) -> Tensor:
    """-log-probability (B, C, ...) of the classes (B, ...)."""
    return ops.nll_loss(input, target, weight, reduction=reduction, ignore_index=ignore_index)


def mse_loss(
    input: Tensor, target: Tensor | Array, *, reduction: str = "mean", weight: Weight = None
) -> Tensor:
    """(input - target)^2."""
    refuse("mse_loss", "multiply the losses of reduction='none'", weight=(weight, None))
    return ops.mse_loss(input, target, reduction)


def l1_loss(
    input: Tensor, target: Tensor | Array, *, reduction: str = "mean", weight: Weight = None
) -> Tensor:
    """|input - target|."""
    refuse("l1_loss", "multiply the losses of reduction='none'", weight=(weight, None))
    return ops.l1_loss(input, target, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor | Array, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2."""
    return ops.smooth_l1_loss(input, target, reduction, beta)


def huber_loss(
    input: Tensor, target: Tensor | Array, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """d^2 / 2 where d = |input - target| < delta, else delta (d - delta / 2)."""
    return ops.huber_loss(input, target, reduction, delta)


def binary_cross_entropy(
    input: Tensor, target: Tensor | Array, weight: Weight = None, *, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy of probabilities and targets in [0, 1]."""
    return ops.binary_cross_entropy(input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor | Array,
    weight: Weight = None,
    *,
    reduction: str = "mean",
    pos_weight: Weight = None,
) -> Tensor:
    """Binary cross-entropy of logits and targets in [0, 1]; weight and pos_weight broadcast."""
    return ops.binary_cross_entropy_with_logits(
        input, target, weight=weight, pos_weight=pos_weight, reduction=reduction
    )


def kl_div(
    input: Tensor, target: Tensor | Array, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """KL divergence of log-probabilities from a target: probabilities, or logs with log_target.

    reduction "mean" divides by the number of values; "batchmean", the divergence, by that of rows.
    """
    return ops.kl_div(input, target, log_target, reduction)
