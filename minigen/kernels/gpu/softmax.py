"""Softmax, its logarithm and the cross-entropy: one launch each, over any axis."""

from math import prod

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense, have_kernel_dtype
from minigen.kernels.gpu.rows import INT64, launch_slices
from minigen.kernels.reference import rows as reference


def softmax(x, axis):
    """`reference.softmax` in three loops over each slice and one launch."""
    return _over_slices(reference.softmax, axis, x)


def softmax_vjp(g, y, axis):
    """`reference.softmax_vjp` in two loops over each slice and one launch."""
    return _over_slices(reference.softmax_vjp, axis, g, y)


def log_softmax(x, axis):
    """`reference.log_softmax` in three loops over each slice and one launch."""
    return _over_slices(reference.log_softmax, axis, x)


def log_softmax_vjp(g, y, axis):
    """`reference.log_softmax_vjp` in two loops over each slice and one launch."""
    return _over_slices(reference.log_softmax_vjp, axis, g, y)


def _over_slices(kernel, axis, *arrays):
    """The result of the CUDA twin of a reference kernel, for slices over an axis.

    The reference kernel itself runs if the arrays differ in shape or dtype.
    """
    if not have_kernel_dtype(*arrays) or any(x.shape != arrays[0].shape for x in arrays):
        return kernel(*arrays, axis)
    arrays = [dense(x) for x in arrays]
    x, out = arrays[0], array_module(arrays[0]).empty_like(arrays[0])
    n, inner = x.shape[axis], prod(x.shape[axis:][1:])
    slices = x.size // max(n, 1)
    launch_slices("softmax.cu", kernel.__name__, slices, n, *arrays, out, inner=inner)
    return out


def cross_entropy(x, target, smoothing):
    """`reference.cross_entropy` in one launch."""
    if not have_kernel_dtype(x) or not x.size:
        return reference.cross_entropy(x, target, smoothing)
    rows, n = x.shape
    x, target = dense(x), dense(target, INT64)
    xp = array_module(x)
    loss, lse = xp.empty(rows, x.dtype), xp.empty((rows, 1), x.dtype)
    arrays = x, target, loss, lse
    launch_slices("softmax.cu", "cross_entropy", rows, n, *arrays, float(smoothing))
    return loss, lse


def cross_entropy_vjp(g, x, target, lse, smoothing):
    """`reference.cross_entropy_vjp` in one launch."""
    if not have_kernel_dtype(g, x, lse) or not x.size:
        return reference.cross_entropy_vjp(g, x, target, lse, smoothing)
    rows, n = x.shape
    g, x, target, lse = dense(g), dense(x), dense(target, INT64), dense(lse)
    gx = array_module(x).empty_like(x)
    arrays = g, x, target, lse, gx
    launch_slices("softmax.cu", "cross_entropy_vjp", rows, n, *arrays, float(smoothing))
    return gx
