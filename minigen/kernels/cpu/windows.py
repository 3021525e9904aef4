"""Windows that slide over images: the places of their maxima."""

import numpy as np

from minigen.kernels.cpu.compiling import compiled


@compiled
def _max_places(x, size, stride, padding, places):
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


def max_places(x, size, stride, padding):
    n, c, h, w = x.shape
    lines = zip((h, w), size, stride, padding)
    oh, ow = ((m + 2 * p - k) // s + 1 for m, k, s, p in lines)
    places = np.empty((n, c, oh, ow), np.int32)
    planes = np.ascontiguousarray(x).reshape(n * c, h, w)
    _max_places(planes, size, stride, padding, places.reshape(n * c, oh, ow))
    return places


@compiled
def _take_in_rows(x, index, y):
    for m in range(index.shape[0]):
        for p in range(index.shape[1]):
            y[m, p] = x[m, index[m, p]]


def take_in_rows(x, index):
    y = np.empty(index.shape, x.dtype)
    _take_in_rows(np.ascontiguousarray(x), np.ascontiguousarray(index), y)
    return y


@compiled
def _add_in_rows(g, index, x):
    for m in range(index.shape[0]):
        for p in range(index.shape[1]):
            x[m, index[m, p]] += g[m, p]


def add_in_rows(g, index, size):
    x = np.zeros((len(g), size), g.dtype)
    _add_in_rows(np.ascontiguousarray(g), np.ascontiguousarray(index), x)
    return x
