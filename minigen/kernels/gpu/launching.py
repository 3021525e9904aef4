"""From a CUDA file to a launch: each `.cu` file of this folder is compiled once for each dtype.

Arguments of a kernel: an array becomes a pointer, None a null pointer, an int `index_t` (a 64-bit
integer), a float `double`, and a NamedTuple of ints and floats a struct with the same fields.
Kernels take C-contiguous arrays unless they take strides too: see `dense`.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, cupy
from minigen.backend.devices import capturing

FOLDER = Path(__file__).parent
THREADS = 256  # of a block, unless a kernel needs another number; a usual choice, not measured
OPTIONS = ("-std=c++17",)
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
INCLUDE = '#include "'


def source(file: str, dtype: np.dtype) -> str:
    """The CUDA C++ of a file, with its includes, where the type `real` is of that dtype."""
    return f"typedef {C_TYPES[dtype]} real;\n{_with_includes(file)}"


def _with_includes(file: str) -> str:
    """The text of a file; each line `#include "name"` is replaced by the text of that file."""
    lines = (FOLDER / file).read_text().splitlines()
    return "\n".join(
        _with_includes(line.split('"')[1]) if line.startswith(INCLUDE) else line for line in lines
    )


@cache
def _module(file: str, dtype: np.dtype) -> Any:
    """The compiled module of a file, for `real` of that dtype."""
    return cupy().RawModule(code=source(file, dtype), options=OPTIONS)


@cache
def _kernel(file: str, name: str, dtype: np.dtype) -> Any:
    """The compiled kernel of that name, for `real` of that dtype."""
    return _module(file, dtype).get_function(name)


def launch(file: str, name: str, dtype: np.dtype, blocks: int, *args: Any, threads=THREADS) -> None:
    """Launch a kernel on a grid of `blocks` blocks; nothing if blocks is 0."""
    if blocks:
        kernel = _kernel(file, name, dtype)
        kernel((blocks,), (threads,), tuple(map(_argument, args)))


def launch_items(file: str, name: str, dtype: np.dtype, items: int, *args: Any) -> None:
    """Launch a kernel with a thread for each item; the number of items is its last argument."""
    launch(file, name, dtype, -(-items // THREADS), *args, items)


def _argument(x: Any) -> Any:
    """x as CuPy passes it to a kernel by value or, for an array, by pointer."""
    if x is None:
        return np.uintp(0)
    if type(x) is int:
        return np.int64(x)
    if isinstance(x, tuple):
        return np.array([x], _struct(type(x)))  # CuPy passes an array of one element by value
    if isinstance(x, np.ndarray):  # CuPy would pass one element by value, in place of a pointer
        raise TypeError("a kernel on the GPU takes no arrays of the host")
    return np.float64(x) if type(x) is float else x


@cache
def _struct(record: type) -> np.dtype:
    """The dtype of the C struct with the fields of a NamedTuple: int64 for int, else float64."""
    types = {int: np.int64, float: np.float64}
    return np.dtype([(name, types[kind]) for name, kind in record.__annotations__.items()])


def upload(values: np.ndarray) -> Array:
    """A device copy of a host array.

    A captured graph copies the array again before each replay, so that kernels read its values at
    that time.
    """
    recording = capturing.get()
    return cupy().asarray(values) if recording is None else recording.upload_at_replays(values)


def upload_constant(x: np.ndarray) -> Array:
    """A device copy of an array that does not change; a later call with equal values returns it."""
    if capturing.get() is not None:  # a captured copy reads its host array at every replay
        return upload(x.copy())
    return _cached_copy(x.tobytes(), x.dtype, x.shape, cupy().cuda.Device().id)


@lru_cache(256)
def _cached_copy(data: bytes, dtype: np.dtype, shape: tuple[int, ...], device: int) -> Array:
    """The device copy of an array with those bytes, on the current device."""
    x = cupy().asarray(np.frombuffer(data, dtype).reshape(shape))
    cupy().cuda.get_current_stream().synchronize()  # a later call may be on another stream
    return x


def dense(x: Array | None, dtype: np.dtype | None = None) -> Array | None:
    """x as a C-contiguous array of that dtype: x itself, or a copy if it is not."""
    if x is None:
        return None
    if dtype is not None and x.dtype != dtype:
        x = x.astype(dtype)
    return x if x.flags.c_contiguous else cupy().ascontiguousarray(x)


def have_kernel_dtype(*arrays: Array | None) -> bool:
    """Whether the arrays have one dtype, and it is float32 or float64. None is ignored."""
    dtypes = {x.dtype for x in arrays if x is not None}
    return len(dtypes) == 1 and dtypes <= C_TYPES.keys()


def result_dtype(*arrays: Array | None) -> np.dtype:
    """The dtype to which NumPy promotes the dtypes of the arrays. None is ignored."""
    return np.result_type(*(x.dtype for x in arrays if x is not None))
