"""Cases of the reductions, and of the ops without a derivative."""

import math

import numpy as np

from minigen.testing.case import Case, modulus
from minigen.testing.choices import Choices


def _over_axes(values="array", nonempty=False):
    """A draw for f(x, axis, keepdims); values is the method of Choices that draws x."""

    def draw(c: Choices):
        shape = c.shape(min_side=1 if nonempty else 0)
        named = c.pick(({}, {"axis": c.axes(len(shape))}))
        named |= c.pick(({}, {"keepdims": True}, {"keepdims": False}))
        return (getattr(c, values)(shape),), named

    return draw


# ---------------------------------------------------------------------------- references


def rows(x, axis):
    """x with the axes to reduce moved to the end and joined into one."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(np.array(axis, int)) % max(x.ndim, 1)
    rest = [i for i in range(x.ndim) if i not in axes]
    count = math.prod(x.shape[i] for i in axes)
    return x.transpose(*rest, *axes).reshape(*[x.shape[i] for i in rest], count)


def over(function):
    """A reduction over any axes, from a function that reduces the last axis."""

    def reduction(x, axis=None, keepdims=False, **options):
        y = np.asarray(function(rows(x, axis), **options))
        if not keepdims:
            return y
        axes = range(x.ndim) if axis is None else np.atleast_1d(np.array(axis, int))
        reduced = {int(i) % x.ndim for i in axes}
        return y.reshape([1 if i in reduced else n for i, n in enumerate(x.shape)])

    return reduction


def _sum(r):
    return r.sum(-1)


def _mean(r):
    return r.sum(-1) / np.float64(r.shape[-1])


def _var(r, ddof=0):
    d = r - _mean(r)[..., None]
    return (d * d).sum(-1) / np.float64(r.shape[-1] - ddof)


def _std(r, ddof=0):
    return np.sqrt(_var(r, ddof))


def _pick(best):
    def picked(r):
        index = best(r.real, -1)[..., None] if r.size else np.zeros((*r.shape[:-1], 1), int)
        return np.take_along_axis(r, index, -1)[..., 0]

    return picked


def _prod(r):
    y = np.ones(r.shape[:-1], r.dtype)
    for i in range(r.shape[-1]):
        y = y * r[..., i]
    return y


def _logsumexp(r):
    return np.log(np.exp(r).sum(-1))


def _norm(r, ord=2):
    size = modulus(r)
    return _pick(np.argmax)(size) if ord == math.inf else (size**ord).sum(-1) ** (1 / ord)


# --------------------------------------------------------------------------------- draws


def _draw_var(c):
    """For var and std: distinct values, and ddof=1 only where there are at least two."""
    shape = c.shape(max_dims=3, max_side=3)
    named = {"axis": c.axes(len(shape)), "keepdims": c.flag()}
    if rows(np.empty(shape), named["axis"]).shape[-1] > 1 and c.flag():
        named["ddof"] = 1
    return (c.distinct(shape),), named


def _draw_norm(c):
    order = c.pick((2, 1, 3, 2.5, math.inf))
    draw = _over_axes("array" if order == 2 else "signed", nonempty=True)
    (x,), named = draw(c)
    if order == math.inf:
        x = c.distinct(x.shape) + 3.5  # positive, so that no two absolute values are equal
    elif c.flag() and order != 2:
        x = c.signed(c.shape(max_dims=0) if x.ndim == 0 else x.shape)
    return (x,), named | ({} if order == 2 and c.flag() else {"ord": order})


def _draw_cumsum(c):
    shape = c.shape(min_dims=1)
    return (c.array(shape), c.axis(len(shape))), {}


def _draw_prod(c):
    shape = c.shape(max_dims=3, max_side=3)
    x = c.signed(shape, 0.5, 1.5)
    if x.size and c.flag():
        x.flat[c.integer(0, x.size - 1)] = 0.0
    return (x,), {"axis": c.axes(len(shape)), "keepdims": c.flag()}


def _draw_extreme_index(c):
    shape = c.shape(min_side=1)
    axis = c.pick((None, *range(-len(shape), len(shape))))
    return (_tied(c, shape),), {"axis": axis, "keepdims": c.flag()}


def _tied(c, shape):
    """Multiples of 0.5, of which several may be equal."""
    return np.asarray(c.integer_array(shape, -3, 4) * 0.5)


def _draw_truth(c):
    (x,), named = _over_axes()(c)
    return (np.where(c.mask(x.shape), x, 0.0),), named


def _draw_values(c):
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.5, -1.5, 2.5])
    shape = c.shape()
    return (np.where(c.mask(shape), c.array(shape), special[c.integer_array(shape, 0, 7)]),), {}


def _draw_round(c):
    return (c.integer_array(c.shape(), -9, 9) * 0.125,), c.pick(
        ({}, {"decimals": c.integer(-1, 3)})
    )


def _sort_options(c, ndim):
    return c.pick(({}, {"axis": c.axis(ndim)})) | c.pick(({}, {"descending": c.flag()}))


def _draw_argsort(c):
    shape = c.shape(min_dims=1)
    return (_tied(c, shape),), _sort_options(c, len(shape))


def _draw_sort(c):
    shape = c.shape(min_dims=1)
    return (c.distinct(shape),), _sort_options(c, len(shape))


def _draw_topk(c):
    shape = c.shape(min_dims=1)
    axis = c.axis(len(shape))
    options = {"axis": axis} | c.pick(({}, {"largest": c.flag()}))
    return (c.distinct(shape), c.integer(0, shape[axis])), options


def argsort(x, axis=-1, descending=False):
    """By Python's sorted, which leaves equal values in their order, also in reverse."""
    index = np.empty(x.shape, np.int64)
    rows, order = np.moveaxis(x.real, axis, -1), np.moveaxis(index, axis, -1)
    for i in np.ndindex(rows.shape[:-1]):
        order[i] = sorted(range(rows.shape[-1]), key=rows[i].__getitem__, reverse=descending)
    return index


def sort(x, axis=-1, descending=False):
    index = argsort(x, axis, descending)
    return np.take_along_axis(x, index, axis), index


def topk(x, k, axis=-1, largest=True):
    values, index = sort(x, axis, largest)
    return values.take(range(k), axis), index.take(range(k), axis)


def floor(x):
    finite = np.isfinite(x)
    return np.where(finite, x - np.mod(np.where(finite, x, 0.0), 1.0), x)


REDUCE = {
    "sum": Case(over(_sum), _over_axes()),
    "mean": Case(over(_mean), _over_axes()),
    "max": Case(over(_pick(np.argmax)), _over_axes("distinct", nonempty=True)),
    "min": Case(over(_pick(np.argmin)), _over_axes("distinct", nonempty=True)),
    "prod": Case(over(_prod), _draw_prod),
    "var": Case(over(_var), _draw_var),
    "std": Case(over(_std), _draw_var),
    "logsumexp": Case(over(_logsumexp), _over_axes()),
    "norm": Case(over(_norm), _draw_norm),
    "cumsum": Case(np.cumsum, _draw_cumsum),
    "cumprod": Case(np.cumprod, _draw_cumsum),
    "sort": Case(sort, _draw_sort, returns_tuple=True),
    "topk": Case(topk, _draw_topk, returns_tuple=True),
}

RAW = {
    "argmax": Case(np.argmax, _draw_extreme_index, raw=True),
    "argmin": Case(np.argmin, _draw_extreme_index, raw=True),
    "any": Case(over(lambda r: (r != 0).sum(-1) > 0), _draw_truth, raw=True),
    "all": Case(over(lambda r: (r == 0).sum(-1) == 0), _draw_truth, raw=True),
    "isfinite": Case(lambda x: (x - x) == 0, _draw_values, raw=True),
    "isinf": Case(lambda x: (x == x) & ((x - x) != 0), _draw_values, raw=True),
    "isnan": Case(lambda x: x != x, _draw_values, raw=True),
    "floor": Case(floor, _draw_values, raw=True),
    "ceil": Case(lambda x: -floor(-x), _draw_values, raw=True),
    "round": Case(np.round, _draw_round, raw=True),
    "argsort": Case(argsort, _draw_argsort, raw=True),
}
