"""The floating-point operations of a call of an op, forward and backward, from shapes alone.

A matrix product of (M, K) and (K, N) has 2 M K N: a multiplication and an addition for each term.
Backward there are as many again for each cotangent that is wanted. Another op has 1 for each value
of its result, or of its largest argument, as a sum has; one that only moves values has none.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

MOVES = (
    *("reshape", "transpose", "broadcast_to", "getitem", "astype", "split", "flip", "concatenate"),
    *("pad", "crop", "roll", "take_along_rows", "clone", "identity", "to_device"),
)
RECURRENT = {"lstm": 3, "gru": 2, "rnn": 2}  # the position of weight_ih; weight_hh is the next


def forward_flops(name: str, args: Sequence, results: Sequence, static: Mapping) -> int:
    """Of one call of an op. args and results: anything with a shape, or what is no array."""
    if name in MOVES:
        return 0
    if (products := _products(name, args, results, static)) is not None:
        return sum(products)
    return max(_total(results), max(map(_size, args), default=0))


def backward_flops(
    name: str, args: Sequence, results: Sequence, static: Mapping, wanted: Sequence
) -> int:
    """Of the cotangents of one call; wanted: for each argument, whether its own is wanted."""
    size, sizes = _total(results), [_size(x) for x, w in zip(args, wanted) if w]
    if name in MOVES:  # the cotangent of what was repeated is a sum
        return size if name == "broadcast_to" and sizes else 0
    products = _products(name, args, results, static)
    if products is None:
        return sum(max(size, n) for n in sizes)
    if not sizes:
        return 0
    if name == "attention":  # gV = P^T g; gP = g V^T serves both gQ = gS K and gK = gS^T Q
        scores, mix = products
        q, k, v = wanted[:3]
        return scores * (bool(q) + bool(k)) + mix * (bool(v) + bool(q or k))
    if name in RECURRENT:  # the product with weight_hh carries the cotangent from step to step
        inner, recurrent = products
        i = RECURRENT[name]
        biases = [n for n, w in zip(map(_size, args[i + 2 :]), wanted[i + 2 :]) if w]
        products = (
            inner * (bool(wanted[0]) + bool(wanted[i])),
            recurrent * (1 + bool(wanted[i + 1])),
        )
        return sum(products) + math.prod(args[0].shape[:2]) * sum(biases)
    num_factors = len(args) if name == "einsum" else 2
    bias = size if any(wanted[num_factors:]) else 0
    return sum(products) * sum(map(bool, wanted[:num_factors])) + bias


def _products(name, args, results, static) -> tuple[int, ...] | None:
    """The operations of the matrix products in a call; None for an op without any."""
    if name in ("matmul", "linear"):
        return (2 * _total(results) * args[0].shape[-1],)
    if name == "convolve":  # each value of y is a sum over a filter (F, C / groups, kh, kw)
        return (2 * _total(results) * math.prod(args[1].shape[1:]),)
    if name in ("convolve_transpose", "convolve_weight"):  # of gy, and a filter or its gradient
        filters = args[1] if name == "convolve_transpose" else results[0]
        return (2 * _size(args[0]) * math.prod(filters.shape[1:]),)
    if name == "attention":  # q @ k^T, of D terms, and P @ v: a term for each query and key
        q, k, v = args[:3]
        queries, keys, width = q.shape[-2], k.shape[-2], v.shape[-1]
        pairs = queries * keys
        if static.get("is_causal"):  # query t takes keys 0..t
            most = min(queries, keys)
            pairs = most * (most + 1) // 2 + (queries - most) * keys
        heads = _total(results) // max(queries * width, 1)
        return 2 * heads * pairs * q.shape[-1], 2 * heads * pairs * width
    if name == "einsum":
        lengths: dict[str, int] = {}
        for term, x in zip(static["terms"], args):
            for letter, n in zip(term, x.shape):  # an axis of length 1 is repeated
                lengths[letter] = n if lengths.get(letter, 1) == 1 else lengths[letter]
        return (2 * math.prod(lengths.values()),)
    if name in RECURRENT:  # each step multiplies x (B, D) and h (B, H) by a weight
        i = RECURRENT[name]
        steps = 2 * math.prod(args[0].shape[:2])
        return steps * _size(args[i]), steps * _size(args[i + 1])
    return None


def _size(x: Any) -> int:
    """The number of values of an array; 0 of what is none."""
    return math.prod(x.shape) if hasattr(x, "shape") else 0


def _total(results: Sequence) -> int:
    return sum(map(_size, results))
