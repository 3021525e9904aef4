"""Work on the channels of a batch (N, C, S): one launch, or two where channels are long and few."""

from minigen.backend.arrays import array_module
from minigen.kernels.gpu.launching import alike, dense, launch
from minigen.kernels.gpu.rows import threads_for
from minigen.kernels.reference import channels as reference

CHUNK = 2**13  # values of a channel that a block takes at least
BLOCKS = 512  # that are launched at most, unless there are more channels


def batch_norm(x, weight, bias, eps):
    if not alike(x, weight, bias):
        return reference.batch_norm(x, weight, bias, eps)
    x, xp = dense(x), array_module(x)
    mean, variance, rstd = (xp.empty(x.shape[1], x.dtype) for _ in range(3))
    y, sizes = xp.empty_like(x), _sizes(x)
    parts = _of_chunks("moments", sizes, x)
    results = y, mean, variance, rstd
    _launch("batch_norm", sizes, x, dense(weight), dense(bias), parts, *results, float(eps))
    return results


def batch_norm_vjp(g, x, weight, mean, rstd):
    if not alike(g, x, weight, mean, rstd):
        return reference.batch_norm_vjp(g, x, weight, mean, rstd)
    g, x, weight, mean, rstd = map(dense, (g, x, weight, mean, rstd))
    xp = array_module(x)
    gw, gb = (xp.empty(x.shape[1], x.dtype) for _ in range(2))
    gx, sizes = xp.empty_like(x), _sizes(x)
    parts = _of_chunks("sums", sizes, g, x, mean, rstd)
    _launch("batch_norm_vjp", sizes, g, x, weight, mean, rstd, parts, gx, gw, gb)
    return gx, gw, gb


def _sizes(x):
    """C, S, N * S, and how many values the chunks of a channel have and how many they are."""
    N, C, S = x.shape
    chunks = max(min(N * S // CHUNK, BLOCKS // max(C, 1)), 1)
    chunk = max(-(-N * S // chunks), 1)
    return C, S, N * S, chunk, max(-(-N * S // chunk), 1)


def _of_chunks(name, sizes, *arrays):
    """What a kernel finds of each chunk, two numbers; None where a channel is one chunk."""
    C, *_, chunks = sizes
    if chunks == 1:
        return None
    parts = array_module(arrays[0]).empty((C, chunks, 2), arrays[0].dtype)
    _launch(name, sizes, *arrays, parts)
    return parts


def _launch(name, sizes, *args):
    C, _, _, chunk, chunks = sizes
    threads = threads_for(chunk)
    launch("channels.cu", name, args[0].dtype, C * chunks, *args, *sizes, threads=threads)
