"""Cases of linear algebra: matrix products, einsum, tensordot, linear."""

import numpy as np

from minigen.testing.case import Case
from minigen.testing.choices import Choices


def _draw_matmul(c: Choices):
    m, k, n = (c.integer(0, 4) if c.integer(0, 4) == 0 else c.integer(1, 4) for _ in range(3))
    lead = c.shape(max_dims=2, max_side=3)
    form = c.integer(0, 6)
    if form < 4:  # 0: two vectors; 1: matrix @ vector; 2: vector @ matrix; 3: two matrices
        lead = ()
    a, b = c.narrowed(lead), c.narrowed(lead)
    left, right = ((k,), (m, k))[form in (1, 3) or form > 3], ((k,), (k, n))[form > 1]
    if form == 5:
        return (c.array((*a, *left)), c.array(right)), {}
    if form == 6 and c.flag():
        return (c.array((k,)), c.array((*b, k, n))), {}
    return (c.array((*a, *left)), c.array((*b, *right))), {}


def matmul(a, b):
    rows, columns = a.ndim > 1, b.ndim > 1
    a, b = a if rows else a[None], b if columns else b[:, None]
    y = (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
    y = y if rows else y[..., 0, :]
    return y if columns else y[..., 0]


EINSUMS = (
    *("ij,jk->ik", "ij,jk", "ij->ji", "ii->i", "ii", "i,i", "i,j->ij", "ijk->", "ijk->j"),
    *("...ij,...jk->...ik", "...i,...i", "i...->...i", "bij,bj->bi", "ij,ij->", "ij,j"),
    *("ij,jk,kl->il", "ab,cd->ad", "iij->ij", "iji,j->i", "bhqd,bhkd->bhqk", "i,i,i->i", "a->"),
    "... -> ...",
)


def _draw_einsum(c):
    spec = c.pick(EINSUMS)
    lengths = {letter: c.integer(0 if c.integer(0, 5) == 0 else 1, 3) for letter in "abcdhijklq"}
    dots = c.shape(max_dims=2, max_side=3) if "..." in spec else ()
    operands = []
    for term in spec.replace(" ", "").partition("->")[0].split(","):
        before, _, after = term.partition("...")
        lead = c.narrowed(dots) if "..." in term else ()
        head, tail = ([lengths[letter] for letter in part] for part in (before, after))
        operands.append(c.array((*head, *lead, *tail)))
    return (spec, *operands), {}


def einsum(spec, *operands):
    return np.asarray(np.einsum(spec, *operands, optimize=False))


def _draw_linear(c):
    lead, inner, outer = c.shape(max_dims=3, max_side=3), c.integer(0, 4), c.integer(1, 4)
    bias = c.pick((None, c.array((outer,))))
    args = c.array((*lead, inner)), c.array((outer, inner))
    return c.pick(((*args, bias), args)), {}


def linear(x, weight, bias=None):
    y = (x[..., None, :] * weight).sum(-1)
    return y if bias is None else y + bias


def _draw_outer(c):
    return tuple(c.array(c.shape(max_dims=2, max_side=3)) for _ in range(2)), {}


def outer(a, b):
    return a.reshape(-1)[:, None] * b.reshape(-1)


def _draw_tensordot(c):
    shared = [c.integer(1, 3) for _ in range(c.integer(0, 2))]
    a, b = c.shape(max_dims=2, max_side=3), c.shape(max_dims=2, max_side=3)
    if c.flag():
        options = {} if len(shared) == 2 and c.flag() else {"axes": len(shared)}
        return (c.array((*a, *shared)), c.array((*shared, *b))), options
    axes = (tuple(range(-len(shared), 0)), tuple(range(len(b), len(b) + len(shared))))
    if len(shared) == 1 and c.flag():
        axes = (axes[0][0], axes[1][0])
    return (c.array((*a, *shared)), c.array((*b, *shared))), {"axes": axes}


def tensordot(a, b, axes=2):
    """By np.einsum with integers for axes."""
    if isinstance(axes, int):
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    pairs = zip(*(np.atleast_1d(np.array(part, int)).tolist() for part in axes))
    left, right = list(range(a.ndim)), list(range(10, 10 + b.ndim))
    for i, j in pairs:
        right[j] = left[i]
    kept = [i for i in left if i not in right] + [j for j in right if j not in left]
    return np.asarray(np.einsum(a, left, b, right, kept))


LINALG = {
    "matmul": Case(matmul, _draw_matmul, order=3),
    "einsum": Case(einsum, _draw_einsum),
    "linear": Case(linear, _draw_linear),
    "_linear": Case(linear, _draw_linear),
    "outer": Case(outer, _draw_outer),
    "tensordot": Case(tensordot, _draw_tensordot),
}
