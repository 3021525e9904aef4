"""The stand-in for cuBLAS: one routine that sees addresses, sizes and steps, and nothing else."""

import ctypes

import numpy as np

from stand_in.recording import perform

TYPES = {0: np.float32, 1: np.float64}
COMPUTE = {0: (68, 77), 1: (70,)}


class _Function:
    def __init__(self, run):
        self.run, self.argtypes = run, None

    def __call__(self, *args):
        assert len(args) == len(self.argtypes)
        for x, kind in zip(args, self.argtypes):
            kind.from_param(x)  # what ctypes would refuse
        return self.run(*args)


def _matrices(address, dtype, rows, columns, leading, step, batch):
    """A view (batch, rows, columns) of memory that holds matrices column after column."""
    assert leading >= rows, (leading, rows)
    size = np.dtype(dtype).itemsize
    length = ((batch - 1) * step + (columns - 1) * leading + rows) * size
    memory = (ctypes.c_char * length).from_address(address)
    flat = np.frombuffer(memory, dtype)
    return np.lib.stride_tricks.as_strided(
        flat, (batch, rows, columns), (step * size, size, leading * size)
    )


def _gemm(handle, ta, tb, m, n, k, alpha, a, at, lda, sa, b, bt, ldb, sb, beta, c, ct, ldc, sc,
          batch, compute, algorithm):  # fmt: skip
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
    def __init__(self):
        self.cublasCreate_v2 = _Function(lambda handle: 0)
        self.cublasSetStream_v2 = _Function(lambda handle, stream: 0)
        self.cublasSetWorkspace_v2 = _Function(lambda handle, workspace, size: 0)
        self.cublasGemmStridedBatchedEx = _Function(_gemm)
