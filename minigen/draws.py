"""New random tensors: uniform, normal, integers, permutations, and draws with given probabilities.

All take rng, a `Generator`, which is the default one if it is None.
"""

from typing import Any

import numpy as np

from minigen.autodiff.primitives import raw
from minigen.autodiff.signatures import with_any_keyword
from minigen.backend.arrays import Array, Shape, array_module
from minigen.backend.devices import device_of
from minigen.creation import as_tensor, shape_of
from minigen.errors import ShapeError
from minigen.random import Generator, generator_of
from minigen.tensors import Tensor


@with_any_keyword
def rand(
    *sizes: Any,
    shape: int | Shape | None = None,
    dtype: Any = np.float32,
    device: str | None = None,
    requires_grad: bool = False,
    rng: Generator | None = None,
) -> Tensor:
    """Uniform in [0, 1): rand(2, 3) or rand((2, 3))."""
    shape = shape_of("rand", sizes, shape) if sizes or shape is not None else ()
    drawn = generator_of(rng).uniform(shape, dtype=dtype, device=device)
    return Tensor(drawn).requires_grad_(requires_grad)


@with_any_keyword
def randn(
    *sizes: Any,
    shape: int | Shape | None = None,
    dtype: Any = np.float32,
    device: str | None = None,
    requires_grad: bool = False,
    rng: Generator | None = None,
) -> Tensor:
    """Normal with mean 0 and standard deviation 1: randn(2, 3) or randn((2, 3))."""
    shape = shape_of("randn", sizes, shape) if sizes or shape is not None else ()
    drawn = generator_of(rng).normal(shape, dtype=dtype, device=device)
    return Tensor(drawn).requires_grad_(requires_grad)


@with_any_keyword
def randint(
    low: int,
    high: Any = None,
    shape: int | Shape | None = None,
    *,
    dtype: Any = np.int64,
    device: str | None = None,
    rng: Generator | None = None,
) -> Tensor:
    """Integers in [low, high): randint(low, high, shape), or randint(high, shape) from 0 on."""
    if shape is None and isinstance(high, tuple | list):  # randint(high, shape)
        low, high, shape = 0, low, high
    elif high is None:
        low, high = 0, low
    shape = shape_of("randint", (), () if shape is None else shape)
    rng = generator_of(rng)
    return Tensor(rng.integers(low, high, shape, dtype=dtype, device=device))


@with_any_keyword
def randperm(
    n: int, *, dtype: Any = np.int64, device: str | None = None, rng: Generator | None = None
) -> Tensor:
    """The integers 0 .. n - 1 in random order."""
    return Tensor(generator_of(rng).permutation(n, dtype=dtype, device=device))


def rand_like(x: Tensor | Array, dtype: Any = None, rng: Generator | None = None) -> Tensor:
    """Uniform in [0, 1), with the shape, dtype and device of x."""
    x = raw(x)
    return rand(*x.shape, dtype=dtype or x.dtype, device=device_of(x), rng=rng)


def randn_like(x: Tensor | Array, dtype: Any = None, rng: Generator | None = None) -> Tensor:
    """Normal with mean 0 and standard deviation 1, with the shape, dtype and device of x."""
    x = raw(x)
    return randn(*x.shape, dtype=dtype or x.dtype, device=device_of(x), rng=rng)


@with_any_keyword
def normal(
    mean: Tensor | float = 0.0,
    std: Tensor | float = 1.0,
    shape: int | Shape | None = None,
    rng: Generator | None = None,
) -> Tensor:
    """Normal with that mean and standard deviation: numbers with a shape, or tensors."""
    if shape is None:
        shape = np.broadcast_shapes(np.shape(raw(mean)), np.shape(raw(std)))
    like = next((x for x in (mean, std) if isinstance(x, Tensor)), None)
    dtype, device = (np.float32, None) if like is None else (like.dtype, like.device)
    noise = randn(*shape_of("normal", (), shape), dtype=dtype, device=device, rng=rng)
    return noise * std + mean


@with_any_keyword
def bernoulli(p: Tensor | Array | float, rng: Generator | None = None) -> Tensor:
    """1 with probability p, else 0, in the shape and dtype of p."""
    p = as_tensor(p).data
    return Tensor(generator_of(rng).bernoulli(p, dtype=p.dtype, device=device_of(p)))


@with_any_keyword
def multinomial(
    p: Tensor | Array, num_samples: int, replacement: bool = False, rng: Generator | None = None
) -> Tensor:
    """num_samples numbers of entries, drawn from each row of weights p (N,) or (rows, N).

    ValueError for weights that are negative or not finite, or a row without any; ShapeError if a
    row has fewer than num_samples entries that can be drawn without replacement.
    """
    p, rng = as_tensor(p).data, generator_of(rng)
    if p.ndim not in (1, 2):
        raise ShapeError(f"multinomial: takes weights (N,) or (rows, N), got shape {p.shape}")
    total = p.sum(-1, keepdims=True)
    if not (np.isfinite(total) & (total > 0) & (p >= 0).all(-1, keepdims=True)).all():
        raise ValueError("multinomial: weights must be finite, not negative, and not all 0")
    if replacement or num_samples == 1:
        u = rng.uniform((*p.shape[:-1], num_samples), dtype=np.float64, device=device_of(p))
        edges = p.astype(np.float64).cumsum(-1)
        edges = edges / edges[..., -1:]
        return Tensor((u[..., None] >= edges[..., None, :]).sum(-1))
    if num_samples > (p > 0).sum(-1).min():
        raise ShapeError(f"multinomial: {num_samples} draws without replacement from {p.shape}")
    # Efraimidis and Spirakis 2006: the entries with the smallest exponential draws of rate p.
    u = rng.uniform(p.shape, dtype=np.float64, device=device_of(p))
    with np.errstate(divide="ignore"):
        keys = np.where(p > 0, -np.log1p(-u) / array_module(p).where(p > 0, p, 1), np.inf)
    return Tensor(keys.argsort(-1)[..., :num_samples])
