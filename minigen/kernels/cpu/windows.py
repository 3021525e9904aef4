"""Windows that slide over images: the places of their maxima, and values at places."""

import math

import numpy as np

from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.tiles import U
from minigen.parallel import pool
from minigen.parallel.pieces import shares


def _over_rows(loop, work, arrays, *constants):
    """loop(*arrays, *constants), of about so many nanoseconds, in pieces along their axis 0."""
    arrays = [np.ascontiguousarray(x) for x in arrays]
    cuts = shares(len(arrays[0]), work)
    pool.run(loop, [(*(x[s] for x in arrays), *constants) for s in cuts])


@compiled
def _max_indices(x, places, size, stride, padding):
    planes, h, w = x.shape
    oh, ow = places.shape[1:]
    for m in range(planes):
        for u in range(oh):
            top = u * stride[0] - padding[0]
            first, last = max(top, 0), min(top + size[0], h)
            for v in range(ow):
                edge = v * stride[1] - padding[1]
                left, right = max(edge, 0), min(edge + size[1], w)
                place = first * w + left
                best = x[m, first, left]
                for i in range(first, last):
                    for j in range(left, right):
                        value = x[m, i, j]
                        better = (value > best) | (value != value)  # selects, no branch
                        best = value if better else best
                        place = i * w + j if better else place
                places[m, u, v] = place


@compiled
def _max_places_of_four(x, places):
    """Those of windows of 2 x 2 that lie side by side.

    First of windows at every place of a plane, then every other of every other row is taken: three
    too many for each, but in vectors, as steps of two would not be.
    """
    planes, h, w = x.shape
    oh, ow = places.shape[1:]
    values, found = x.reshape(-1), places.reshape(-1)
    count, here = h * w - w - 1, np.int32(0)
    right, below, corner = np.int32(1), np.int32(w), np.int32(w + 1)
    best = np.empty(count, x.dtype)  # not read; but LLVM makes branches of selects for place alone
    place = np.empty(count, np.int32)
    for m in range(planes):
        upper = values[m * h * w : (m + 1) * h * w]
        beside, lower, across = upper[1:], upper[w:], upper[w + 1 :]
        for i in range(U(count)):
            a, b, c, d = upper[i], beside[i], lower[i], across[i]
            better = (b > a) | (b != b)
            a, of_a = b if better else a, right if better else here
            better = (d > c) | (d != d)
            c, of_c = d if better else c, corner if better else below
            better = (c > a) | (c != c)
            best[i], place[i] = c if better else a, of_c if better else of_a
        for u in range(oh):
            start, to = 2 * u * w, U((m * oh + u) * ow)
            for v in range(U(ow)):
                i = U(start) + U(2) * v
                found[to + v] = place[i] + np.int32(i)


def max_indices(x, size, stride, padding):
    n, c, h, w = x.shape
    lines = zip((h, w), size, stride, padding)
    oh, ow = ((m + 2 * p - k) // s + 1 for m, k, s, p in lines)
    places = np.empty((n, c, oh, ow), np.int32)
    planes = x.reshape(n * c, h, w), places.reshape(n * c, oh, ow)
    if places.size and size == stride == (2, 2) and padding == (0, 0):
        _over_rows(_max_places_of_four, 2 * places.size, planes)
    else:
        work = 5 * places.size * math.prod(size)
        _over_rows(_max_indices, work, planes, size, stride, padding)
    return places


@compiled
def _take_along_rows(x, index, y):
    for m in range(index.shape[0]):
        for p in range(index.shape[1]):
            y[m, p] = x[m, np.uint64(index[m, p])]


def take_along_rows(x, index):
    y = np.empty(index.shape, x.dtype)
    _over_rows(_take_along_rows, 2 * y.size, (x, index, y))
    return y


@compiled
def _scatter_along_rows(g, index, x):
    for m in range(index.shape[0]):
        x[m] = 0  # a row at a time: it is in the cache when values are added to it
        for p in range(index.shape[1]):
            x[m, np.uint64(index[m, p])] += g[m, p]


def scatter_along_rows(g, index, size):
    x = np.empty((len(g), size), g.dtype)
    _over_rows(_scatter_along_rows, 2 * g.size + x.size, (g, index, x))
    return x
