"""Initial values of parameters, as raw arrays.

fan_in is the number of inputs of one unit, fan_out the number of units that one input feeds. A
generator rng of None is the default one.
"""

import math
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, Shape
from minigen.random import Generator, default_generator


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
    rng = rng or default_generator()
    if bound == 0:
        return 0 * rng.uniform(shape, dtype=dtype, device=device)
    return rng.uniform(shape, -bound, bound, dtype=dtype, device=device)


def normal(
    shape: Shape, std: float, rng: Generator | None, dtype: Any = np.float32, device=None
) -> Array:
    """Normal with mean 0 and standard deviation std."""
    return (rng or default_generator()).normal(shape, 0.0, std, dtype=dtype, device=device)


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
