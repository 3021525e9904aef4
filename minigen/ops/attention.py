"""Scaled dot-product attention (Vaswani et al. 2017, "Attention Is All You Need")."""

import math

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import composite, fixed, raw
from minigen.backend.arrays import Array, array_module, broadcast_shapes
from minigen.backend.devices import device_of
from minigen.backend.dtypes import FLOATS, floating
from minigen.errors import DTypeError, ShapeError
from minigen.ops.elementwise import add, multiply, where
from minigen.ops.linalg import matmul
from minigen.ops.normalization import softmax
from minigen.ops.shape import astype, sum_to, swapaxes
from minigen.random import Generator, draw_of_batch

NAME = "scaled_dot_product_attention"


def attention_weights(q, k, mask, is_causal, scale):
    """P = softmax(scale * q @ k^T) over the keys that take part: (..., T, S), each row sums to 1.

    q (..., T, D), k (..., S, D); mask (..., T, S) is True where a key takes part, or None, or of
    floats that are added to the scores: -inf leaves a key out. P is 0 for keys that take no part,
    and a row without any key is 0.
    """
    scores = matmul(q * scale, swapaxes(k, -1, -2))  # (..., T, D) @ (..., D, S)
    if mask is not None and mask.dtype.kind == "f":
        takes_part = mask > -np.inf
        scores = add(scores, astype(where(takes_part, mask, 0.0), scores.dtype))
        mask = takes_part
    if is_causal:
        causal_mask = array_module(raw(q)).tri(*scores.shape[-2:], dtype=bool)
        mask = causal_mask if mask is None else mask & causal_mask
    if mask is None:
        return softmax(scores, -1)
    # The softmax of a row of nothing but -inf is NaN, so its result is replaced, too.
    return where(mask, softmax(where(mask, scores, -np.inf), -1), 0.0)


def _attention_definition(q, k, v, mask, keep_mask, is_causal, scale, dropout_p):
    weights = attention_weights(q, k, mask, is_causal, scale)
    if keep_mask is not None:
        weights = multiply(weights, keep_mask) * (1 / (1 - dropout_p) if dropout_p < 1 else 1.0)
    return matmul(weights, v)  # (..., T, S) @ (..., S, E)


def _attention_backward(g, p, wanted, q, k, v, mask, keep_mask, is_causal, scale, dropout_p):
    """gV = (D * P)^T g, gQ = gS K, gK = gS^T Q: see `kernels.reference.dot_attention_vjp`.

    gS = scale P * (gP - rowsum(gP * P)) (..., T, S) with gP = D * (g V^T), where D are the factors
    of dropout. p is P, the residual.
    """
    cotangents = kernels.dot_attention_vjp(g, q, k, v, p, keep_mask, is_causal, scale, dropout_p)
    pairs = zip(cotangents, (q, k, v))
    gq, gk, gv = (gx if gx.shape == x.shape else sum_to(gx, x.shape) for gx, x in pairs)
    return gq, gk, gv, None, None


@fused(_attention_definition, _attention_backward)
def _attention(q, k, v, mask, keep_mask, *, is_causal, scale, dropout_p):
    """(y, P); keep_mask (..., T, S) is True where dropout keeps a weight, or None."""
    return kernels.dot_attention(q, k, v, mask, keep_mask, is_causal, scale, dropout_p)


@composite
def scaled_dot_product_attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    dropout_p: float = 0.0,
    scale: float | None = None,
    rng: Generator | None = None,
) -> Array:
    """softmax(scale * q @ k^T) @ v (..., T, E): q (..., T, D), k (..., S, D), v (..., S, E).

    The leading axes broadcast. mask broadcasts to (..., T, S): booleans, True where a key takes
    part, or floats, added to the scores (-inf leaves a key out; a mask that requires grad gets
    one). With is_causal query t takes keys 0..t only. A query without any key gets 0.
    Dropout applies to the weights; scale is 1 / sqrt(D) by default.
    """
    dropout_p = float(dropout_p)
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"{NAME}: dropout_p must be in [0, 1], got {dropout_p}")
    q, k, v = _to_one_dtype(q, k, v)
    shape = _scores_shape(q, k, v)
    if mask is not None:
        check_mask(NAME, "mask", raw(mask), shape)
        mask = mask if mask.dtype.kind == "f" else fixed(mask)
    keep_mask = None
    if dropout_p:
        rng, whole = draw_of_batch(rng, shape)
        keep_mask = rng.bernoulli(1 - dropout_p, whole, device=device_of(raw(q)))
    scale = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else float(scale)
    if mask is not None and mask.dtype.kind == "f":  # the kernels take no floats
        return _attention_definition(q, k, v, mask, keep_mask, is_causal, scale, dropout_p)
    return _attention(
        q, k, v, mask, keep_mask, is_causal=bool(is_causal), scale=scale, dropout_p=dropout_p
    )


def _to_one_dtype(*xs):
    """xs in the floating dtype that they promote to."""
    dtype = xs[0].dtype
    if dtype in FLOATS and all(x.dtype == dtype for x in xs):
        return xs
    dtype = np.result_type(*(x.dtype for x in floating(list(map(raw, xs)))))
    return [astype(x, dtype) for x in xs]


def _scores_shape(q, k, v):
    """(..., T, S): the shape of the scores; ShapeError if q, k and v do not fit."""
    shapes = f"{NAME}: q {q.shape}, k {k.shape} and v {v.shape} do not fit: "
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ShapeError(shapes + "each needs 2 dims or more, (..., length, features)")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            shapes + "axis -1 of q and k, and axis -2 of k and v, must have one length"
        )
    try:
        lead = broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        raise ShapeError(shapes + "the leading axes do not broadcast") from None
    return *lead, q.shape[-2], k.shape[-2]


def check_mask(op: str, name: str, mask: Array, shape: tuple[int, ...]) -> None:
    """DTypeError unless mask is of booleans or floats, ShapeError unless it broadcasts to shape."""
    found = getattr(mask, "dtype", type(mask).__name__)
    if found != np.bool_ and found not in FLOATS:
        raise DTypeError(
            f"{op}: {name} must be a boolean array, or of floats to add to the scores, "
            f"got {found}; compare, as in x > 0"
        )
    lead = len(shape) - mask.ndim
    if lead < 0 or any(n not in (1, full) for n, full in zip(mask.shape, shape[lead:])):
        raise ShapeError(f"{op}: {name} {mask.shape} does not broadcast to {shape}")
