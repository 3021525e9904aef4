"""Initial values of parameters: as raw arrays, and with PyTorch's names, which end in _, in place.

fan_in is the number of inputs of one unit, fan_out the number of units that one input feeds. A
generator rng of None is the default one. The functions that end in _ write into a tensor that no op
made, as an optimizer does, and return it.
"""

import math
from typing import Any

import numpy as np

from minigen.autodiff.graph import Node, Output, count_write
from minigen.backend.arrays import Array, Shape, array_module
from minigen.backend.devices import to_device
from minigen.errors import GradError
from minigen.random import Generator, generator_of
from minigen.tensors import Tensor


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, ...); ValueError below 2 dims."""
    if len(shape) < 2:
        raise ValueError(f"fan_in and fan_out need a weight of 2 dims or more, got {shape}")
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


def uniform(
    shape: Shape, bound: float, rng: Generator | None, dtype: Any = np.float32, device=None
) -> Array:
    """Uniform in [-bound, bound); zeros for bound 0."""
    rng = generator_of(rng)
    if bound == 0:
        return 0 * rng.uniform(shape, dtype=dtype, device=device)
    return rng.uniform(shape, -bound, bound, dtype=dtype, device=device)


def normal(
    shape: Shape, std: float, rng: Generator | None, dtype: Any = np.float32, device=None
) -> Array:
    """Normal with mean 0 and standard deviation std."""
    return generator_of(rng).normal(shape, 0.0, std, dtype=dtype, device=device)


def kaiming_uniform(
    shape: Shape,
    rng: Generator | None,
    gain: float = math.sqrt(2),
    dtype: Any = np.float32,
    device: str | None = None,
) -> Array:
    """Uniform with standard deviation gain / sqrt(fan_in) (He et al. 2015; sqrt(2) for relu)."""
    return uniform(shape, gain * math.sqrt(3 / fans(shape)[0]), rng, dtype, device)


def xavier_uniform(
    shape: Shape,
    rng: Generator | None,
    gain: float = 1.0,
    dtype: Any = np.float32,
    device: str | None = None,
) -> Array:
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return uniform(shape, gain * math.sqrt(6 / sum(fans(shape))), rng, dtype, device)


# --------------------------------------------------------------------- in place, as PyTorch's


def _write(x: Tensor, values: Any) -> Tensor:
    """x, or an array such as a parameter's `.data`, with the values, in place.

    GradError for the result of an op, whose graph would be wrong.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if isinstance(x.node, Node | Output):
        raise GradError(f"init: op {x.node.op.name!r} made this tensor; initialise parameters only")
    if not getattr(x.data.flags, "writeable", True):
        raise ValueError("init: the tensor's array is read-only; initialise a copy of it")
    x.data[...] = values
    count_write(x.node)
    return x


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a weight's standard deviation keeps the variance: sqrt(2) for relu.

    param is the negative_slope of "leaky_relu" (0.01). Others: linear, sigmoid, tanh, selu.
    """
    slope = 0.01 if param is None else param
    gains = {"sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75, "linear": 1.0}
    gains["leaky_relu"] = math.sqrt(2 / (1 + slope**2))
    gains |= dict.fromkeys(("conv1d", "conv2d", "conv_transpose2d"), 1.0)
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: {nonlinearity!r} is not one of {', '.join(gains)}")
    return gains[nonlinearity]


def uniform_(x: Tensor, a: float = 0.0, b: float = 1.0, rng: Generator | None = None) -> Tensor:
    """Uniform in [a, b)."""
    draw = generator_of(rng).uniform
    return _write(x, draw(x.shape, a, b, dtype=x.dtype, device=x.device))


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, rng: Generator | None = None) -> Tensor:
    """Normal with that mean and standard deviation."""
    draw = generator_of(rng).normal
    return _write(x, draw(x.shape, mean, std, dtype=x.dtype, device=x.device))


def trunc_normal_(
    x: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    rng: Generator | None = None,
) -> Tensor:
    """Normal, values outside of [a, b] drawn again; those that stay outside are uniform in it."""
    if not a < b:
        raise ValueError(f"trunc_normal_: a must be below b, got {a} and {b}")
    rng, kind = generator_of(rng), {"dtype": x.dtype, "device": x.device}
    values = rng.normal(x.shape, mean, std, **kind)
    for _ in range(64):
        outside = (values < a) | (values > b)
        if not outside.any():
            return _write(x, values)
        values = array_module(values).where(outside, rng.normal(x.shape, mean, std, **kind), values)
    outside = (values < a) | (values > b)
    return _write(
        x, array_module(values).where(outside, rng.uniform(x.shape, a, b, **kind), values)
    )


def constant_(x: Tensor, val: float) -> Tensor:
    """val everywhere."""
    return _write(x, val)


def zeros_(x: Tensor) -> Tensor:
    """0 everywhere."""
    return _write(x, 0)


def ones_(x: Tensor) -> Tensor:
    """1 everywhere."""
    return _write(x, 1)


def eye_(x: Tensor) -> Tensor:
    """The identity matrix; ValueError unless x has 2 dims."""
    if x.ndim != 2:
        raise ValueError(f"eye_: needs a matrix, got shape {x.shape}")
    return _write(x, array_module(x.data).eye(*x.shape, dtype=x.dtype))


def xavier_uniform_(x: Tensor, gain: float = 1.0, rng: Generator | None = None) -> Tensor:
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return _write(x, xavier_uniform(x.shape, rng, gain, x.dtype, x.device))


def xavier_normal_(x: Tensor, gain: float = 1.0, rng: Generator | None = None) -> Tensor:
    """Normal with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return normal_(x, 0.0, gain * math.sqrt(2 / sum(fans(x.shape))), rng)


def kaiming_uniform_(
    x: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Generator | None = None,
) -> Tensor:
    """Uniform with standard deviation gain / sqrt(fan) (He et al. 2015); a: leaky_relu's slope."""
    bound = math.sqrt(3) * _kaiming_std(x, a, mode, nonlinearity)
    return uniform_(x, -bound, bound, rng)


def kaiming_normal_(
    x: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan) (He et al. 2015); a: leaky_relu's slope."""
    return normal_(x, 0.0, _kaiming_std(x, a, mode, nonlinearity), rng)


def _kaiming_std(x, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(x.shape)[mode == "fan_out"])


def orthogonal_(x: Tensor, gain: float = 1.0, rng: Generator | None = None) -> Tensor:
    """gain times a matrix with orthonormal rows, or columns if it has fewer (Saxe et al. 2014).

    Axes after the first count as one. ValueError below 2 dims.
    """
    if x.ndim < 2:
        raise ValueError(f"orthogonal_: needs 2 dims or more, got shape {x.shape}")
    rows, columns = x.shape[0], math.prod(x.shape[1:])
    longer, shorter = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(generator_of(rng).normal((longer, shorter), dtype=np.float64))
    q = q * np.sign(np.diagonal(r))  # or q would not be uniform over all such matrices
    q = to_device(gain * (q if rows == longer else q.T).reshape(x.shape), x.device)
    return _write(x, q)
