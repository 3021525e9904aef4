"""The stand-in for cuBLAS: one routine, which gets pointers, sizes and strides only."""

import ctypes

import numpy as np

from stand_in.recording import perform

TYPES = {0: np.float32, 1: np.float64}
COMPUTE = {0: (68, 77), 1: (70,)}


class _Function:
    """A function that checks its arguments against argtypes, as a ctypes function does."""

    def __init__(self, run):
        self.run, self.argtypes = run, None

    def __call__(self, *args):
        assert len(args) == len(self.argtypes)
        for x, c_type in zip(args, self.argtypes):
            c_type.from_param(x)  # raises what ctypes would raise
        return self.run(*args)


def _matrices(pointer, dtype, rows, columns, leading_dimension, stride, batch):
    """A view (batch, rows, columns) of memory that contains column-major matrices."""
    assert leading_dimension >= rows, (leading_dimension, rows)
    size = np.dtype(dtype).itemsize
    length = ((batch - 1) * stride + (columns - 1) * leading_dimension + rows) * size
    memory = (ctypes.c_char * length).from_address(pointer)
    flat = np.frombuffer(memory, dtype)
    return np.lib.stride_tricks.as_strided(
        flat, (batch, rows, columns), (stride * size, size, leading_dimension * size)
    )


def _gemm(handle, ta, tb, m, n, k, alpha, a, at, lda, sa, b, bt, ldb, sb, beta, c, ct, ldc, sc,
          batch, compute, algorithm):  # fmt: skip
    """c = alpha * a @ b + beta * c, with the parameters of cublasGemmStridedBatchedEx."""
    assert at == bt == ct and compute in COMPUTE[ct] and min(m, n, k, batch) > 0
    dtype = TYPES[ct]
    c_type = ctypes.c_float if ct == 0 else ctypes.c_double
    alpha, beta = (c_type.from_address(x).value for x in (alpha, beta))

    def run():
        x = _matrices(a, dtype, *((k, m) if ta else (m, k)), lda, sa, batch)
        y = _matrices(b, dtype, *((n, k) if tb else (k, n)), ldb, sb, batch)
        out = _matrices(c, dtype, m, n, ldc, sc, batch)
        x = x.swapaxes(1, 2) if ta else x
        y = y.swapaxes(1, 2) if tb else y
        with np.errstate(all="ignore"):
            product = alpha * np.matmul(x, y)
            out[...] = product + beta * out if beta else product

    perform(run)
    return 0


class Library:
    """libcublas, as far as minigen uses it."""

    def __init__(self):
        self.cublasCreate_v2 = _Function(lambda handle: 0)
        self.cublasSetStream_v2 = _Function(lambda handle, stream: 0)
        self.cublasSetWorkspace_v2 = _Function(lambda handle, workspace, size: 0)
        self.cublasGemmStridedBatchedEx = _Function(_gemm)
