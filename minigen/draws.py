"""New random tensors: uniform, normal, integers, permutations, and draws with given probabilities.

All take rng, a `Generator`, which is the default one if it is None. Where several processes share
a batch, draws for a tensor (rand_like, normal, bernoulli ...) are a rank's rows of the draw for the
whole batch; those of a parameter, and those of a shape (rand, randint ...), are the same on all
ranks. `Generator.rows` makes rows of any draw.
"""

import warnings
from typing import Any

import numpy as np

from minigen.autodiff.graph import Leaf
from minigen.autodiff.primitives import raw
from minigen.autodiff.signatures import with_any_keyword
from minigen.backend.arrays import Array, Shape, array_module
from minigen.backend.devices import device_of
from minigen.communication.world import current
from minigen.creation import as_tensor, shape_of
from minigen.errors import ShapeError
from minigen.random import Generator, RowsOfDraws, draw_of_batch, generator_of
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
    drawn = _same_on_all("rand", rng, shape).uniform(shape, dtype=dtype, device=device)
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
    drawn = _same_on_all("randn", rng, shape).normal(shape, dtype=dtype, device=device)
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
    rng = _same_on_all("randint", rng, shape)
    return Tensor(rng.integers(low, high, shape, dtype=dtype, device=device))


@with_any_keyword
def randperm(
    n: int, *, dtype: Any = np.int64, device: str | None = None, rng: Generator | None = None
) -> Tensor:
    """The integers 0 .. n - 1 in random order."""
    return Tensor(generator_of(rng).permutation(n, dtype=dtype, device=device))


def rand_like(
    x: Tensor | Array,
    dtype: Any = None,
    rng: Generator | None = None,
    batch_axis: int | None = 0,
) -> Tensor:
    """Uniform in [0, 1), with the shape, dtype and device of x.

    batch_axis: where several processes share a batch, that of its rows in x; None if x has none.
    """
    rng, shape = _rows_of((x,), raw(x).shape, rng, batch_axis)
    return Tensor(rng.uniform(shape, dtype=dtype or x.dtype, device=device_of(raw(x))))


def randn_like(
    x: Tensor | Array,
    dtype: Any = None,
    rng: Generator | None = None,
    batch_axis: int | None = 0,
) -> Tensor:
    """Normal with mean 0 and standard deviation 1, with the shape, dtype and device of x.

    batch_axis: as for `rand_like`.
    """
    rng, shape = _rows_of((x,), raw(x).shape, rng, batch_axis)
    return Tensor(rng.normal(shape, dtype=dtype or x.dtype, device=device_of(raw(x))))


@with_any_keyword
def normal(
    mean: Tensor | float = 0.0,
    std: Tensor | float = 1.0,
    shape: int | Shape | None = None,
    rng: Generator | None = None,
    batch_axis: int | None = 0,
) -> Tensor:
    """Normal with that mean and standard deviation: numbers with a shape, or tensors.

    batch_axis: as for `rand_like`, if the shape is that of tensors.
    """
    if shape is None:
        shape = np.broadcast_shapes(np.shape(raw(mean)), np.shape(raw(std)))
        rng, shape = _rows_of((mean, std), shape, rng, batch_axis)
    like = next((x for x in (mean, std) if isinstance(x, Tensor)), None)
    dtype, device = (np.float32, None) if like is None else (like.dtype, like.device)
    noise = randn(*shape_of("normal", (), shape), dtype=dtype, device=device, rng=rng)
    return noise * std + mean


@with_any_keyword
def bernoulli(
    p: Tensor | Array | float, rng: Generator | None = None, batch_axis: int | None = 0
) -> Tensor:
    """1 with probability p, else 0, in the shape and dtype of p; batch_axis as for `rand_like`."""
    values = as_tensor(p).data
    view, whole = _rows_of((p,), values.shape, rng, batch_axis)
    if whole == values.shape:
        return Tensor(view.bernoulli(values, dtype=values.dtype, device=device_of(values)))
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"bernoulli needs p in [0, 1], got {values}")
    u = view.uniform(whole, device=device_of(values))  # p has the rows of this rank only
    return Tensor((u < values).astype(values.dtype))


@with_any_keyword
def multinomial(
    p: Tensor | Array, num_samples: int, replacement: bool = False, rng: Generator | None = None
) -> Tensor:
    """num_samples numbers of entries, drawn from each row of weights p (N,) or (rows, N).

    ValueError for weights that are negative or not finite, or a row without any; ShapeError if a
    row has fewer than num_samples entries that can be drawn without replacement.
    """
    p = as_tensor(p).data
    if p.ndim not in (1, 2):
        raise ShapeError(f"multinomial: takes weights (N,) or (rows, N), got shape {p.shape}")
    total = p.sum(-1, keepdims=True)
    if not (np.isfinite(total) & (total > 0) & (p >= 0).all(-1, keepdims=True)).all():
        raise ValueError("multinomial: weights must be finite, not negative, and not all 0")
    if replacement or num_samples == 1:
        rng, whole = draw_of_batch(rng, (*p.shape[:-1], num_samples), 0 if p.ndim == 2 else None)
        u = rng.uniform(whole, dtype=np.float64, device=device_of(p))
        edges = p.astype(np.float64).cumsum(-1)
        edges = edges / edges[..., -1:]
        return Tensor((u[..., None] >= edges[..., None, :]).sum(-1))
    if num_samples > (p > 0).sum(-1).min():
        raise ShapeError(f"multinomial: {num_samples} draws without replacement from {p.shape}")
    # Efraimidis and Spirakis 2006: the entries with the smallest exponential draws of rate p.
    rng, whole = draw_of_batch(rng, p.shape, 0 if p.ndim == 2 else None)
    u = rng.uniform(whole, dtype=np.float64, device=device_of(p))
    with np.errstate(divide="ignore"):
        keys = np.where(p > 0, -np.log1p(-u) / array_module(p).where(p > 0, p, 1), np.inf)
    return Tensor(keys.argsort(-1)[..., :num_samples])


def _rows_of(
    like: tuple[Any, ...], shape: Shape, rng: Generator | None, batch_axis: int | None
) -> tuple[Generator, Shape]:
    """`draw_of_batch` for a draw in the shape of tensors, but without rows for parameters."""
    tensors = [x for x in like if np.ndim(raw(x))]
    if all(isinstance(x, Tensor) and type(x.node) is Leaf and x.requires_grad for x in tensors):
        batch_axis = None
    return draw_of_batch(rng, shape, batch_axis)


def _same_on_all(name: str, rng: Generator | None, shape: Shape) -> Generator:
    """The generator of a draw of a shape; warns of one that looks like this rank's rows."""
    rng, rows = generator_of(rng), current().rows
    if rows is not None and not isinstance(rng, RowsOfDraws):
        length = rows.stop - rows.start
        if length < rows.total and shape[:1] == (length,):
            warnings.warn(
                f"{name}: all ranks draw the same numbers of shape {shape}; for those of this "
                f"rank's rows pass rng=rng.rows({rows.start}, {rows.stop}) and the shape "
                f"{(rows.total, *shape[1:])}",
                stacklevel=4,
            )
    return rng
