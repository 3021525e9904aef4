"""Clipping of gradients, by their norm (Pascanu, Mikolov and Bengio 2013) or by value."""

import math
from collections.abc import Iterable

import numpy as np

from minigen.backend.arrays import Array
from minigen.tensors import Tensor

Params = Iterable[Tensor] | Tensor


def clip_grad_norm(
    params: Params, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale the gradients of params so that their joint norm is at most max_norm; returns it.

    params: tensors, or one; those without a gradient are skipped. norm_type: 1, 2, infinity or
    another p of the p-norm. The result is the norm before scaling. Each scaled `.grad` is a new
    tensor; the old one is not written to. ValueError for a negative max_norm or an empty list. If
    the norm is not finite, RuntimeError with error_if_nonfinite, else gradients become 0 or NaN.
    """
    max_norm, norm_type = float(max_norm), float(norm_type)
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm: max_norm must not be negative, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm: norm_type must be positive, got {norm_type}")
    with_grad = _with_gradients(params, "clip_grad_norm")
    powers = [_sum_of_powers(p.grad.data, norm_type) for p in with_grad]
    # float() waits for the GPU, so it is called after all sums were started.
    if math.isinf(norm_type):
        norm = float(np.max([0.0, *map(float, powers)]))  # NaN if one is
    else:
        norm = sum(map(float, powers)) ** (1 / norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"clip_grad_norm: the norm of the gradients is {norm}; mg.detect_anomaly() names the "
            "op that made it so"
        )
    if not (scale := max_norm / (norm + 1e-6)) >= 1:  # NaN scales too, as in PyTorch
        for p in with_grad:
            p.node.grad = Tensor(p.grad.data * scale)
    return norm


def clip_grad_value(params: Params, clip_value: float) -> None:
    """Clip each value of the gradients of params to [-clip_value, clip_value].

    params: tensors, or one; those without a gradient are skipped. Each `.grad` is a new tensor.
    ValueError for a negative clip_value or an empty list.
    """
    clip_value = float(clip_value)
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value: clip_value must not be negative, got {clip_value}")
    for p in _with_gradients(params, "clip_grad_value"):
        p.node.grad = Tensor(p.grad.data.clip(-clip_value, clip_value))


# PyTorch's names. There the underscore says that the gradients' memory is written to.
clip_grad_norm_ = clip_grad_norm
clip_grad_value_ = clip_grad_value


def _with_gradients(params: Params, name: str) -> list[Tensor]:
    """The tensors that have a gradient, each once."""
    if callable(getattr(params, "parameters", None)):
        raise TypeError(f"{name}: params are tensors; give model.parameters()")
    params = [params] if isinstance(params, Tensor) else list(params)
    if not params:
        raise ValueError(
            f"{name}: the list of parameters is empty; a generator can be read only once"
        )
    for p in params:
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: params are tensors, got a {type(p).__name__}")
    return [p for p in {id(p): p for p in params}.values() if p.grad is not None]


def _sum_of_powers(g: Array, norm_type: float) -> Array:
    """The sum of |g|^norm_type in float64; for infinity the largest |g|."""
    if math.isinf(norm_type):
        return abs(g).max() if g.size else 0.0
    if norm_type == 2:
        return np.square(g, dtype=np.float64).sum()
    return (abs(g).astype(np.float64) ** norm_type).sum()
