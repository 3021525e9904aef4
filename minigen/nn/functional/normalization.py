"""Norms as functions, with PyTorch's signatures."""

from minigen import ops
from minigen.backend.arrays import Array
from minigen.errors import ShapeError
from minigen.nn.options import refuse
from minigen.tensors import Tensor

Optional = Tensor | Array | None
Shape = int | tuple[int, ...]


def layer_norm(
    input: Tensor,
    normalized_shape: Shape,
    weight: Optional = None,
    bias: Optional = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, of normalized_shape."""
    return ops.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Shape, weight: Optional = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axes; eps None is the dtype's epsilon."""
    return ops.rms_norm(input, normalized_shape, weight, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Optional = None,
    bias: Optional = None,
    eps: float = 1e-5,
) -> Tensor:
    """layer_norm of x (B, C, ...) over each of num_groups blocks of channels; weight (C,)."""
    return ops.group_norm(input, num_groups, weight, bias, eps)


def instance_norm(
    input: Tensor,
    running_mean: Optional = None,
    running_var: Optional = None,
    weight: Optional = None,
    bias: Optional = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """layer_norm of x (B, C, ...) over each channel of each sample; weight (C,)."""
    kept = {"running_mean": (running_mean, None), "running_var": (running_var, None)}
    remedy = "batch_norm keeps statistics"
    refuse("instance_norm", remedy, **kept, use_input_stats=(use_input_stats, True))
    if input.ndim > 1 and input.size // max(input.shape[0] * input.shape[1], 1) == 1:
        raise ShapeError(f"instance_norm: x {input.shape} has one value for each mean")
    return ops.group_norm(input, input.shape[1] if input.ndim > 1 else 1, weight, bias, eps)


def batch_norm(
    input: Tensor,
    running_mean: Optional,
    running_var: Optional,
    weight: Optional = None,
    bias: Optional = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    synchronized: bool = True,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of x (B, C, ...).

    training: statistics of the batch, which the running ones are moved toward by momentum; the
    batch of all ranks that train in step, unless synchronized is False.
    """
    arguments = running_mean, running_var, weight, bias, training, momentum, eps
    return ops.batch_norm(input, *arguments, synchronized=synchronized)
