"""Matrix products, tensordot and einsum, and `linear`, the affine map of a dense layer."""

import math
import re
from collections.abc import Sequence

import numpy as np

from minigen import kernels
from minigen.autodiff.fused import fused
from minigen.autodiff.primitives import composite, primitive, raw
from minigen.backend.arrays import Array, broadcast_shapes
from minigen.backend.dtypes import floating, promoted
from minigen.errors import ShapeError
from minigen.ops.contractions import contract
from minigen.ops.elementwise import multiply
from minigen.ops.indexing import getitem
from minigen.ops.shape import (
    axis_tuple,
    broadcast_to,
    reshape,
    sum_to,
    swapaxes,
    transpose,
    unbroadcast,
)
from minigen.parallel.deferred import DEFERRABLE


@primitive(
    lambda g, y, a, b: unbroadcast(_matmul(g, swapaxes(b, -1, -2)), a.shape),
    lambda g, y, a, b: unbroadcast(_matmul(swapaxes(a, -1, -2), g), b.shape),
    saves=("b", "a"),
    prepare=promoted,
)
def _matmul(a, b):
    return kernels.matmul(a, b)


@composite
def matmul(a: Array, b: Array) -> Array:
    """The matrix product a (..., M, K) @ b (..., K, N) = (..., M, N); leading axes broadcast.

    A vector is a row as a, a column as b, as in numpy.matmul. ShapeError if shapes do not fit.
    """
    if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]:
        return _matmul(a, b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: axis -1 of the first "
            f"and axis {-2 if b.ndim > 1 else 0} of the second must have one length"
        )
    lead, tail = (a.shape[:-1] if a.ndim > 1 else ()), (b.shape[-1:] if b.ndim > 1 else ())
    if b.ndim <= 2:  # (..., M, K) @ (K, N): one product (... * M, K) @ (K, N), not many small ones
        rows = reshape(a, (math.prod(lead), a.shape[-1]))
        return reshape(_matmul(rows, reshape(b, (b.shape[0], math.prod(tail)))), (*lead, *tail))
    if a.ndim == 1:
        y = matmul(reshape(a, (1, *a.shape)), b)
        return reshape(y, (*y.shape[:-2], y.shape[-1]))
    try:
        broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape}: the leading axes do not broadcast"
        ) from None
    return _matmul(a, b)


def rows_of(x):
    """x (..., D) as a matrix (N, D); a vector as (1, D)."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


@primitive(
    lambda g, y, x, weight, bias: _matmul(rows_of(g), weight).reshape(x.shape),
    lambda g, y, x, weight, bias: _matmul(rows_of(g).T, rows_of(x)),
    lambda g, y, x, weight, bias: sum_to(g, bias.shape),
    saves=("weight", "x", ""),
)
def _linear(x, weight, bias=None):
    """x @ weight.T + bias."""
    return _affine(x, weight, bias)


def _affine(x, weight, bias):
    """x @ weight.T + bias, by the kernel."""
    y = kernels.linear(rows_of(x), weight, bias)
    return y if x.ndim == 2 else y.reshape((*x.shape[:-1], len(weight)))


def _linear_backward(g, _, wanted, x, weight, bias):
    """gx = g @ weight, gweight = g.T @ x, gbias = sum of g over rows; x and g as matrices of rows.

    The product for weight may be deferred.
    """
    later = wanted[1] == DEFERRABLE
    gx, *rest = kernels.linear_vjp(rows_of(g), rows_of(x), weight, wanted, later)
    return None if gx is None else gx.reshape(x.shape), *rest


@fused(_linear, _linear_backward, prepare=floating, returns_new=True)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x @ weight.T + bias: x (..., D), weight (E, D), bias (E,), result (..., E).

    ShapeError if shapes do not fit.
    """
    if x.ndim == 0 or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: x {x.shape} and weight {weight.shape} do not fit: "
            "weight must be (out, in) and the last axis of x must have length in"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"linear: bias {bias.shape} must be ({weight.shape[0]},), weight's out")
    return _affine(x, weight, bias), None


@composite
def outer(a: Array, b: Array) -> Array:
    """The outer product y[i, j] = a[i] * b[j] of the flattened a and b."""
    return multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@composite
def tensordot(a: Array, b: Array, axes: int | tuple = 2) -> Array:
    """The product of a and b summed over pairs of axes, as numpy.tensordot.

    axes: a number n, for the last n axes of a and the first n of b; or a pair of lists of axes.
    ShapeError if their lengths differ.
    """
    if isinstance(axes, int):
        axes = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    over_a = axis_tuple(axes[0], a.ndim)
    over_b = axis_tuple(axes[1], b.ndim)
    lengths = [a.shape[i] for i in over_a]
    if lengths != [b.shape[i] for i in over_b]:
        raise ShapeError(f"tensordot: axes {axes} of {a.shape} and {b.shape} differ in length")
    free_a = tuple(i for i in range(a.ndim) if i not in over_a)
    free_b = tuple(i for i in range(b.ndim) if i not in over_b)
    shape = tuple(a.shape[i] for i in free_a) + tuple(b.shape[i] for i in free_b)
    size = math.prod(lengths)
    a = reshape(transpose(a, free_a + over_a), (math.prod(a.shape[i] for i in free_a), size))
    b = reshape(transpose(b, over_b + free_b), (size, math.prod(b.shape[i] for i in free_b)))
    return reshape(matmul(a, b), shape)


# --------------------------------------------------------------------------------- einsum


def _einsum_rule(g, y, i, *xs, terms, out):
    """The cotangent of operand i: the contraction of g with the other operands, out in i's letters.

    For "ij,jk->ik" and i = 0 that is "ik,jk->ij".
    """
    lengths = {letter: n for t, x in zip(terms, xs) for letter, n in zip(t, x.shape) if n != 1}
    others = [x for j, x in enumerate(xs) if j != i]
    terms_of_others = [t for j, t in enumerate(terms) if j != i]
    available = set(out).union(*terms_of_others)
    out_letters = "".join(letter for letter in terms[i] if letter in available)
    gx = _einsum(g, *others, terms=(out, *terms_of_others), out=out_letters)
    # A letter that only operand i has was summed over, so the cotangent is constant along its axis.
    in_gx = [letter in available for letter in terms[i]]
    gx_lengths = iter(gx.shape)
    gx = reshape(gx, tuple(next(gx_lengths) if present else 1 for present in in_gx))
    full = tuple(lengths.get(letter, 1) for letter in terms[i])
    return unbroadcast(broadcast_to(gx, full), xs[i].shape)


@primitive(_einsum_rule, saves="xs", prepare=promoted)
def _einsum(*xs, terms, out):
    return contract(xs, terms, out)


@composite
def einsum(spec: str, *operands: Array) -> Array:
    """Einstein summation, as numpy.einsum: "ij,jk->ik", with "..." and repeated letters.

    ShapeError for another form of spec, or if shapes do not fit.
    """
    terms, out = _parsed(spec, operands)
    plain = []
    for i, x in enumerate(operands):
        for letter in sorted(set(terms[i])):
            while terms[i].count(letter) > 1:  # a letter twice in one operand is a diagonal
                x, terms[i] = _diagonal(x, terms[i], letter)
        plain.append(x)
    return _einsum(*plain, terms=tuple(terms), out=out)


def _diagonal(x, term, letter):
    """(y, term of y): the diagonal of x over the first two axes with that letter."""
    first = term.index(letter)
    second = term.index(letter, first + 1)
    order = [i for i in range(x.ndim) if i not in (first, second)]
    index = np.arange(x.shape[first])
    y = getitem(transpose(x, (first, second, *order)), (index, index))
    return y, letter + "".join(term[i] for i in order)


def _parsed(spec: str, operands: Sequence) -> tuple[list[str], str]:
    """(terms, out): the letters of each operand and of the output, with unused ones for "..."."""
    if not isinstance(spec, str):
        raise ShapeError("einsum: the first argument is the specification, as 'ij,jk->ik'")
    left, arrow, out = spec.replace(" ", "").partition("->")
    if not re.fullmatch(r"([A-Za-z]|\.\.\.|,)*", left) or not re.fullmatch(
        r"([A-Za-z]|\.\.\.)*", out
    ):
        raise ShapeError(
            f"einsum: {spec!r} is not of the form 'ij,jk->ik': its letters are a to z and A to Z"
        )
    terms = left.split(",")
    if any(term.count("...") > 1 for term in (*terms, out)):
        raise ShapeError(f"einsum: {spec!r} has '...' twice in one operand or in the output")
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        raise ShapeError("einsum: pass the operands one by one, as einsum(spec, *operands)")
    if len(terms) != len(operands):
        raise ShapeError(f"einsum: {spec!r} is for {len(terms)} operands, got {len(operands)}")
    spare = [c for c in map(chr, range(ord("A"), ord("z") + 1)) if c.isalpha() and c not in spec]
    most = 0
    for i, (term, x) in enumerate(zip(terms, operands)):
        extra = len(raw(x).shape) - len(term.replace("...", ""))  # axes that "..." stands for
        if extra < 0 or (extra and "..." not in term):
            raise ShapeError(f"einsum: {term!r} does not name the axes of shape {x.shape}")
        terms[i] = term.replace("...", "".join(spare[len(spare) - extra :]))
        most = max(most, extra)
    dots = "".join(spare[len(spare) - most :]) if most else ""
    if arrow:
        out = out.replace("...", dots)
    else:
        letters = "".join(terms)
        out = dots + "".join(
            c for c in sorted(set(letters)) if letters.count(c) == 1 and c not in dots
        )
    lengths: dict[str, int] = {}
    for term, x in zip(terms, operands):
        for letter, n in zip(term, x.shape):
            if lengths.setdefault(letter, n) not in (n, 1) and n != 1:
                name = "an axis of '...'" if letter in dots else repr(letter)
                raise ShapeError(
                    f"einsum: {spec!r} with shapes {[x.shape for x in operands]}: "
                    f"{name} has lengths {lengths[letter]} and {n}"
                )
            lengths[letter] = n if lengths[letter] == 1 else lengths[letter]
    if not set(out) <= set(lengths) or len(set(out)) < len(out):
        raise ShapeError(
            f"einsum: the output of {spec!r} must name letters of its inputs, once each"
        )
    return terms, out
