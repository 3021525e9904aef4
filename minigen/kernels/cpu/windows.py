"""Windows that slide over images: the places of their maxima, and values at places."""

import math

import numpy as np

from minigen import threads
from minigen.kernels.cpu.compiling import compiled


def _over_rows(loop, work, arrays, *constants):
    """loop(*arrays, *constants), of about so many nanoseconds, in pieces along their axis 0."""
    arrays = [np.ascontiguousarray(x) for x in arrays]
    cuts = threads.shares(len(arrays[0]), work)
    threads.run(loop, [(*(x[s] for x in arrays), *constants) for s in cuts])


@compiled
def _max_places(x, places, size, stride, padding):
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
    """Those of windows of 2 x 2 that lie side by side: a row of them in vectors."""
    planes, _, w = x.shape
    oh, ow = places.shape[1:]
    right, below, corner = np.int32(1), np.int32(w), np.int32(w + 1)
    best = np.empty(ow, x.dtype)  # not read; but LLVM makes branches of selects for a place alone
    for m in range(planes):
        for u in range(oh):
            upper, lower, row = x[m, 2 * u], x[m, 2 * u + 1], places[m, u]
            for v in range(ow):
                value, b, c, d = upper[2 * v], upper[2 * v + 1], lower[2 * v], lower[2 * v + 1]
                better = (b > value) | (b != b)
                value, place = b if better else value, right if better else np.int32(0)
                better = (c > value) | (c != c)
                value, place = c if better else value, below if better else place
                better = (d > value) | (d != d)
                best[v], row[v] = d if better else value, corner if better else place
            for v in range(ow):
                row[v] += 2 * u * w + 2 * v


def max_places(x, size, stride, padding):
    n, c, h, w = x.shape
    lines = zip((h, w), size, stride, padding)
    oh, ow = ((m + 2 * p - k) // s + 1 for m, k, s, p in lines)
    places = np.empty((n, c, oh, ow), np.int32)
    planes = x.reshape(n * c, h, w), places.reshape(n * c, oh, ow)
    if size == stride == (2, 2) and padding == (0, 0):
        _over_rows(_max_places_of_four, 4 * places.size, planes)
    else:
        work = 5 * places.size * math.prod(size)
        _over_rows(_max_places, work, planes, size, stride, padding)
    return places


@compiled
def _take_in_rows(x, index, y):
    for m in range(index.shape[0]):
        for p in range(index.shape[1]):
            y[m, p] = x[m, np.uint64(index[m, p])]


def take_in_rows(x, index):
    y = np.empty(index.shape, x.dtype)
    _over_rows(_take_in_rows, 2 * y.size, (x, index, y))
    return y


@compiled
def _add_in_rows(g, index, x):
    for m in range(index.shape[0]):
        x[m] = 0  # a row at a time: it is in the cache when values are added to it
        for p in range(index.shape[1]):
            x[m, np.uint64(index[m, p])] += g[m, p]


def add_in_rows(g, index, size):
    x = np.empty((len(g), size), g.dtype)
    _over_rows(_add_in_rows, 2 * g.size + x.size, (g, index, x))
    return x
