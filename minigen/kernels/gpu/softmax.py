"""Softmax, its logarithm and the cross-entropy: one launch each, over whatever axis."""

from math import prod

from minigen.backend import array_module
from minigen.kernels.gpu.launching import dense
from minigen.kernels.gpu.rows import INT64, alike, launch_slices
from minigen.kernels.reference import rows as reference


def softmax(x, axis):
    return _over(axis, "softmax", x) if alike(x) else reference.softmax(x, axis)


def softmax_vjp(g, y, axis):
    if not alike(g, y) or g.shape != y.shape:
        return reference.softmax_vjp(g, y, axis)
    return _over(axis, "softmax_vjp", g, y)


def log_softmax(x, axis):
    return _over(axis, "log_softmax", x) if alike(x) else reference.log_softmax(x, axis)


def log_softmax_vjp(g, y, axis):
    if not alike(g, y) or g.shape != y.shape:
        return reference.log_softmax_vjp(g, y, axis)
    return _over(axis, "log_softmax_vjp", g, y)


def _over(axis, name, *arrays):
    """The result of a kernel that works on slices along axis of arrays of one shape."""
    arrays = [dense(x) for x in arrays]
    x, out = arrays[0], array_module(arrays[0]).empty_like(arrays[0])
    n, inner = x.shape[axis], prod(x.shape[axis:][1:])
    launch_slices("softmax.cu", name, x.size // max(n, 1), n, *arrays, out, inner=inner)
    return out


def cross_entropy(x, target, smoothing):
    if not alike(x) or not x.size:
        return reference.cross_entropy(x, target, smoothing)
    rows, n = x.shape
    x, target = dense(x), dense(target, INT64)
    xp = array_module(x)
    loss, lse = xp.empty(rows, x.dtype), xp.empty((rows, 1), x.dtype)
    arrays = x, target, loss, lse
    launch_slices("softmax.cu", "cross_entropy", rows, n, *arrays, float(smoothing))
    return loss, lse


def cross_entropy_vjp(g, x, target, lse, smoothing):
    if not alike(g, x, lse) or not x.size:
        return reference.cross_entropy_vjp(g, x, target, lse, smoothing)
    rows, n = x.shape
    g, x, target, lse = dense(g), dense(x), dense(target, INT64), dense(lse)
    gx = array_module(x).empty_like(x)
    arrays = g, x, target, lse, gx
    launch_slices("softmax.cu", "cross_entropy_vjp", rows, n, *arrays, float(smoothing))
    return gx
