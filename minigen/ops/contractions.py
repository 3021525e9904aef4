"""The sums of products of `einsum`, on raw arrays: by matrix products and `kernels.sum_over`.

np.einsum would add the terms of many sums one after the other. A term is here the letters of the
axes of an operand, "ij" of x[i, j], each letter once.
"""

import math

import numpy as np

from minigen import kernels
from minigen.backend.arrays import array_module


def contract(xs, terms, out):
    """The product of xs, summed over all letters that are not in out; a new array.

    Operands are multiplied in pairs, in the order that NumPy finds for three or more.
    """
    if len(xs) == 1:
        (x,), (term,) = xs, terms
        summed = tuple(i for i, letter in enumerate(term) if letter not in out)
        y = kernels.sum_over(x, summed).astype(x.dtype, copy=False) if summed else x.copy()
        term = [letter for letter in term if letter in out]
        return y.transpose([term.index(letter) for letter in out]) if len(out) > 1 else y
    dtype, lengths = np.result_type(*xs), {}
    for x, term in zip(xs, terms):
        for letter, n in zip(term, x.shape):
            lengths[letter] = n if lengths.get(letter, 1) == 1 else lengths[letter]
    operands = []
    whole = [_without_repeated(x, term, lengths) for x, term in zip(xs, terms)]
    for i, (x, term) in enumerate(whole):
        used = set(out).union(*(t for _, t in whole[:i] + whole[i + 1 :]))
        operands.append(_own_sums(x.astype(dtype, copy=False), term, used))
    order = [range(len(xs))]
    if len(xs) > 2:
        shapes = [np.broadcast_to(0.0, x.shape) for x in xs]  # arrays without memory
        order = np.einsum_path(f"{','.join(terms)}->{out}", *shapes)[0][1:]
    for chosen in order:
        (x, term), *others = [operands.pop(i) for i in sorted(chosen, reverse=True)]
        for i, (other, other_term) in enumerate(others):
            kept = set(out).union(*(t for _, t in (*others[i + 1 :], *operands)))
            x, term = _product(x, term, other, other_term, kept)
        operands.append((x, term))
    y = x.transpose([term.index(letter) for letter in out])
    return y.astype(dtype, copy=False)


def _without_repeated(x, term, lengths):
    """x and its letters, without axes of length 1 that are longer in another operand.

    Along these x is repeated, so a sum over such a letter is one over the other operand alone.
    """
    axes = [i for i, letter in enumerate(term) if x.shape[i] == lengths[letter]]
    return x.reshape([x.shape[i] for i in axes]), [term[i] for i in axes]


def _own_sums(x, term, used):
    """x and its letters, summed over the letters that are not used elsewhere."""
    own = tuple(i for i, letter in enumerate(term) if letter not in used)
    if own:
        shape = [n for i, n in enumerate(x.shape) if i not in own]
        x = kernels.sum_over(x, own, True).reshape(shape)
    return x, [letter for letter in term if letter in used]


def _product(a, a_term, b, b_term, kept):
    """The product of a and b, summed over the letters of both that are not kept, and its letters.

    That is a matrix product (..., M, K) @ (..., K, N), with the kept letters of both as "...", the
    summed ones as K, and those of one operand as M and N.
    """
    batch = [letter for letter in a_term if letter in b_term and letter in kept]
    summed = [letter for letter in a_term if letter in b_term and letter not in kept]
    free_a = [letter for letter in a_term if letter not in b_term]
    free_b = [letter for letter in b_term if letter not in a_term]
    a = a.transpose([a_term.index(letter) for letter in (*batch, *free_a, *summed)])
    b = b.transpose([b_term.index(letter) for letter in (*batch, *free_b, *summed)])
    lead, end = a.shape[: len(batch)], a.ndim - len(summed)
    m, n, k = a.shape[len(batch) : end], b.shape[len(batch) : b.ndim - len(summed)], a.shape[end:]
    if summed and not (batch and math.prod(m) == math.prod(n) == 1):
        a, b = (_compact(x.reshape(*lead, math.prod(i), math.prod(k))) for x, i in ((a, m), (b, n)))
        y = kernels.matmul(a, b.swapaxes(-1, -2))
    else:
        a = a.reshape((*lead, *m, *(1 for _ in n), *k))
        y = a * b.reshape((*lead, *(1 for _ in m), *n, *k))
        if summed:
            y = kernels.sum_over(y, tuple(range(y.ndim - len(k), y.ndim)), True)
    return y.reshape((*lead, *m, *n)), batch + free_a + free_b


def _compact(x):
    """x, or a copy if in a stack of matrices neither rows nor columns are adjacent in memory."""
    is_compact = x.ndim == 2 or x.itemsize in x.strides[-2:]
    return x if is_compact else array_module(x).ascontiguousarray(x)
