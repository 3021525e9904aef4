"""One routine of cuBLAS, through ctypes: products of strided stacks of matrices.

CuPy's own matmul copies every transposed stack and cannot be captured in a graph. Enumerations
are those of cublas_api.h and library_types.h.
"""

import ctypes
import threading
from functools import cache
from typing import Any

import numpy as np

from minigen.backend.arrays import cupy
from minigen.backend.precision import get_matmul_precision

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
DATA_TYPES = {FLOAT32: 0, FLOAT64: 1}  # CUDA_R_32F, CUDA_R_64F
COMPUTE_TYPES = {"highest": 68, "high": 77}  # CUBLAS_COMPUTE_32F, ..._32F_FAST_TF32
COMPUTE_64F, DEFAULT_ALGORITHM = 70, -1
WORKSPACE = 32 * 2**20  # bytes; what NVIDIA recommends for Hopper, more than others need

MOST = 2**31 - 1  # of a side, a step or a stack: they are C's int

pointer, integer, stride = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
CONSTANTS = {
    (dtype, value): c_type(value)
    for dtype, c_type in ((FLOAT32, ctypes.c_float), (FLOAT64, ctypes.c_double))
    for value in (0, 1)
}


@cache
def library() -> Any:
    """libcublas, found where pip or the CUDA toolkit put it, with its argument types declared."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return declared(ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path))


def declared(found: Any) -> Any:
    """The library with the types of the arguments that its functions take."""
    operand = [pointer, integer, integer, stride]  # address, type, leading dimension, stride
    found.cublasCreate_v2.argtypes = [ctypes.POINTER(pointer)]
    found.cublasSetStream_v2.argtypes = [pointer, pointer]
    found.cublasSetWorkspace_v2.argtypes = [pointer, pointer, ctypes.c_size_t]
    found.cublasGemmStridedBatchedEx.argtypes = [
        pointer,
        *[integer] * 5,
        pointer,
        *operand * 2,
        pointer,
        *operand,
        *[integer] * 3,
    ]
    return found


def _handle() -> Any:
    """The handle of this thread for the current device and stream."""
    cuda = cupy().cuda
    return _made(threading.get_ident(), cuda.Device().id, cuda.get_current_stream().ptr)[0]


@cache
def _made(thread: int, device: int, stream: int) -> tuple[Any, Any]:
    """A handle and its workspace, which stay: a captured graph may outlive the thread.

    A workspace of its own, for what cuBLAS would allocate in a capture could not be replayed.
    """
    handle, workspace = pointer(), cupy().empty(WORKSPACE, np.uint8)
    _checked(library().cublasCreate_v2(ctypes.byref(handle)))
    _checked(library().cublasSetStream_v2(handle, stream))
    _checked(library().cublasSetWorkspace_v2(handle, workspace.data.ptr, WORKSPACE))
    return handle, workspace


def gemm(dtype, rows, columns, inner, a, b, out, batch, accumulate=False) -> None:
    """out = a @ b, or out += a @ b, for a stack of `batch` matrices, column after column.

    a (rows, inner), b (inner, columns) and out (rows, columns) are each (address, whether it is
    stored row after row, leading dimension, distance to the next matrix); out never is so stored.
    """
    compute = COMPUTE_64F if dtype == FLOAT64 else COMPUTE_TYPES[get_matmul_precision()]
    kind, one = DATA_TYPES[dtype], CONSTANTS[dtype, 1]
    if max(rows, columns, inner, batch, a[2], b[2], out[2]) > MOST:
        raise ValueError(f"a product on the GPU has sides of at most {MOST:,}")
    (a, a_turned, *a_steps), (b, b_turned, *b_steps), (out, _, *out_steps) = a, b, out
    status = library().cublasGemmStridedBatchedEx(
        *(_handle(), int(a_turned), int(b_turned), rows, columns, inner),
        *(ctypes.addressof(one), a, kind, *a_steps, b, kind, *b_steps),
        *(ctypes.addressof(CONSTANTS[dtype, int(accumulate)]), out, kind, *out_steps),
        *(batch, compute, DEFAULT_ALGORITHM),
    )
    _checked(status)


def _checked(status: int) -> None:
    if status:
        raise RuntimeError(f"cuBLAS answers with status {status} (see cublasStatus_t)")
