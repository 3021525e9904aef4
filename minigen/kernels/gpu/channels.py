"""Batch normalization over the channels of x (N, C, S).

One launch, or two where channels are long and few: the first then reduces chunks of a channel, and
the second merges them.
"""

from typing import NamedTuple

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import dense, have_kernel_dtype, launch
from minigen.kernels.gpu.rows import threads_for
from minigen.kernels.reference import channels as reference

# Estimates, not measured on a GPU: a block shall have enough to do to be worth its start, and a
# launch no more blocks than keep a GPU busy.
MIN_CHUNK = 2**13  # values of a channel that a block takes
MAX_BLOCKS = 512  # of a launch, unless there are more channels


class Sizes(NamedTuple):
    """`Sizes` of channels.cu: a channel has `size` = N * S values, in chunks of chunk_size."""

    C: int
    S: int
    size: int
    chunk_size: int
    chunks: int


def batch_norm(x, weight, bias, eps):
    """`reference.batch_norm` in one or two launches."""
    if not have_kernel_dtype(x, weight, bias):
        return reference.batch_norm(x, weight, bias, eps)
    x, xp = dense(x), array_module(x)
    mean, variance, rstd = (xp.empty(x.shape[1], x.dtype) for _ in range(3))
    y, sizes = xp.empty_like(x), _sizes(x)
    chunk_moments = _reduced_chunks("moments", sizes, x)
    inputs, results = (x, dense(weight), dense(bias), chunk_moments), (y, mean, variance, rstd)
    _launch("batch_norm", sizes, *inputs, *results, float(eps))
    return results


def batch_norm_vjp(g, x, weight, mean, rstd):
    """`reference.batch_norm_vjp` in one or two launches."""
    if not have_kernel_dtype(g, x, weight, mean, rstd):
        return reference.batch_norm_vjp(g, x, weight, mean, rstd)
    g, x, weight, mean, rstd = map(dense, (g, x, weight, mean, rstd))
    xp = array_module(x)
    gw, gb = (xp.empty(x.shape[1], x.dtype) for _ in range(2))
    gx, sizes = xp.empty_like(x), _sizes(x)
    chunk_sums = _reduced_chunks("sums", sizes, g, x, mean, rstd)
    _launch("batch_norm_vjp", sizes, g, x, weight, mean, rstd, chunk_sums, gx, gw, gb)
    return gx, gw, gb


def _sizes(x):
    """The sizes of x (N, C, S), and its chunks."""
    N, C, S = x.shape
    chunks = max(min(N * S // MIN_CHUNK, MAX_BLOCKS // max(C, 1)), 1)
    chunk_size = max(-(-N * S // chunks), 1)
    return Sizes(C, S, N * S, chunk_size, max(-(-N * S // chunk_size), 1))


def _reduced_chunks(name, sizes, *arrays):
    """Two numbers for each chunk (C, chunks, 2), by a kernel; None if a channel is one chunk."""
    if sizes.chunks == 1:
        return None
    reduced = array_module(arrays[0]).empty((sizes.C, sizes.chunks, 2), arrays[0].dtype)
    _launch(name, sizes, *arrays, reduced)
    return reduced


def _launch(name, sizes, *args):
    """Launch a kernel with a block for each chunk of each channel."""
    blocks, threads = sizes.C * sizes.chunks, threads_for(sizes.chunk_size)
    launch("channels.cu", name, args[0].dtype, blocks, *args, sizes, threads=threads)
