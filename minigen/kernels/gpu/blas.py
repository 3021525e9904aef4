"""One routine of cuBLAS, through ctypes: products of strided stacks of matrices.

CuPy's matmul copies transposed stacks, and it cannot be captured in a CUDA graph. The values of
enumerations are those of cublas_api.h and library_types.h.
"""

import ctypes
import threading
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigen.backend.arrays import cupy
from minigen.backend.precision import get_matmul_precision

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
DATA_TYPES = {FLOAT32: 0, FLOAT64: 1}  # CUDA_R_32F, CUDA_R_64F
COMPUTE_TYPES = {"highest": 68, "high": 77}  # CUBLAS_COMPUTE_32F, ..._32F_FAST_TF32
COMPUTE_64F, DEFAULT_ALGORITHM = 70, -1
WORKSPACE = 32 * 2**20  # bytes, as NVIDIA recommends for Hopper; older GPUs need less
MAX_INT = 2**31 - 1  # sizes, leading dimensions and the batch are C ints

pointer, integer, stride = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
CONSTANTS = {
    (dtype, value): c_type(value)
    for dtype, c_type in ((FLOAT32, ctypes.c_float), (FLOAT64, ctypes.c_double))
    for value in (0, 1)
}


class Operand(NamedTuple):
    """A stack of matrices. `transposed` is relative to cuBLAS's column-major order."""

    pointer: int
    transposed: bool
    leading_dimension: int  # in elements
    stride: int  # from a matrix to the next, in elements


@cache
def library() -> Any:
    """libcublas, found where pip or the CUDA toolkit installed it, with its signatures."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return with_signatures(ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path))


def with_signatures(found: Any) -> Any:
    """The library, with the argument types of its functions declared to ctypes."""
    operand = [pointer, integer, integer, stride]  # pointer, dtype, leading dimension, stride
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
    """The cuBLAS handle of this thread for the current device and stream."""
    cuda = cupy().cuda
    return _new_handle(threading.get_ident(), cuda.Device().id, cuda.get_current_stream().ptr)[0]


@cache
def _new_handle(thread: int, device: int, stream: int) -> tuple[Any, Any]:
    """A handle and its workspace. They are never freed: a captured graph may outlive the thread.

    By default cuBLAS allocates a workspace itself; during a capture, that would become a part of
    the graph, which could not be replayed.
    """
    handle, workspace = pointer(), cupy().empty(WORKSPACE, np.uint8)
    _check(library().cublasCreate_v2(ctypes.byref(handle)))
    _check(library().cublasSetStream_v2(handle, stream))
    _check(library().cublasSetWorkspace_v2(handle, workspace.data.ptr, WORKSPACE))
    return handle, workspace


def gemm(
    dtype: np.dtype,
    shape: tuple[int, int, int],
    a: Operand,
    b: Operand,
    out: Operand,
    batch: int,
    accumulate: bool = False,
) -> None:
    """out = a @ b, or out += a @ b: (m, k) @ (k, n) for shape (m, n, k), a stack of `batch` each.

    All matrices are column-major; a and b may be transposed, out may not.
    """
    compute = COMPUTE_64F if dtype == FLOAT64 else COMPUTE_TYPES[get_matmul_precision()]
    if max(*shape, batch, *(x.leading_dimension for x in (a, b, out))) > MAX_INT:
        raise ValueError(f"a product on the GPU has dimensions of at most {MAX_INT:,}")
    alpha, beta = CONSTANTS[dtype, 1], CONSTANTS[dtype, int(accumulate)]
    _check(
        library().cublasGemmStridedBatchedEx(
            *(_handle(), int(a.transposed), int(b.transposed), *shape),
            *(ctypes.addressof(alpha), *_arguments(a, dtype), *_arguments(b, dtype)),
            *(ctypes.addressof(beta), *_arguments(out, dtype)),
            *(batch, compute, DEFAULT_ALGORITHM),
        )
    )


def _arguments(x: Operand, dtype: np.dtype) -> tuple[int, int, int, int]:
    """The arguments of cublasGemmStridedBatchedEx for one operand."""
    return x.pointer, DATA_TYPES[dtype], x.leading_dimension, x.stride


def _check(status: int) -> None:
    """RuntimeError unless the status is CUBLAS_STATUS_SUCCESS, 0."""
    if status:
        raise RuntimeError(f"cuBLAS answers with status {status} (see cublasStatus_t)")
