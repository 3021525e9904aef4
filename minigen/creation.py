"""New tensors: from data, filled with one value, evenly spaced, one-hot."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.backend.arrays import Array, Shape, cupy
from minigen.backend.devices import created_on, device_of, to_device
from minigen.backend.dtypes import as_array, check_dtype
from minigen.errors import ShapeError
from minigen.ops.indexing import check_range, whole_numbers
from minigen.tensors import Tensor


def tensor(
    data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of data: numbers, nested lists, an array or a tensor (detached).

    Python floats become float32, ints int64; arrays and tensors keep their dtype and device.
    DTypeError if data cannot become an array, or has a dtype that is not supported.
    """
    source = data.data if isinstance(data, Tensor) else _unwrapped(data)
    array = as_array(source, dtype, device)
    # as_array does not copy an array, and a view (with a base) is in the memory of another one.
    if array is source or array.base is not None or isinstance(data, (np.ndarray, Tensor)):
        array = array.copy()
    return Tensor(array).requires_grad_(requires_grad)


def _unwrapped(data: Any) -> Any:
    """data; in nested lists each tensor is replaced by its array, on the CPU."""
    if isinstance(data, (list, tuple)):
        return [_unwrapped(part) for part in data]
    return data.detach().numpy() if isinstance(data, Tensor) else data


def from_dlpack(x: Any) -> Tensor:
    """A tensor that shares the memory of x, an array with the DLPack protocol."""
    if hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] == 2:  # kDLCUDA
        return Tensor(cupy().from_dlpack(x))
    return Tensor(np.from_dlpack(x))


def _created(create: Callable, device: str | None, requires_grad: bool = False) -> Tensor:
    """A tensor of create(xp), with xp the array module of that device."""
    return Tensor(created_on(device, create)).requires_grad_(requires_grad)


def zeros(
    shape: int | Shape,
    dtype: Any = np.float32,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype or np.float32, device, requires_grad)


def ones(
    shape: int | Shape,
    dtype: Any = np.float32,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype or np.float32, device, requires_grad)


def full(
    shape: int | Shape,
    value: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad=False,
) -> Tensor:
    """A tensor with all elements equal to value; by default with the dtype of mg.tensor(value)."""
    if shape is None:  # NumPy before 2.4 takes it for ()
        raise TypeError("a shape is a number or a tuple of numbers, not None")
    dtype = as_array(value).dtype if dtype is None else check_dtype(dtype)
    return _created(lambda xp: xp.full(shape, value, dtype), device, requires_grad)


def zeros_like(x: Tensor | Array, dtype: Any = None) -> Tensor:
    """Zeros with the shape, dtype and device of x."""
    x = x.data if isinstance(x, Tensor) else x
    return Tensor(np.zeros_like(x, dtype=dtype and check_dtype(dtype)))


def ones_like(x: Tensor | Array, dtype: Any = None) -> Tensor:
    """Ones with the shape, dtype and device of x."""
    x = x.data if isinstance(x, Tensor) else x
    return Tensor(np.ones_like(x, dtype=dtype and check_dtype(dtype)))


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    device: str | None = None,
) -> Tensor:
    """The numbers start, start + step, ... up to stop, without it; arange(n) is 0 to n - 1.

    int64 if all arguments are integers, else float32.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    if dtype is None:
        whole = all(isinstance(n, (int, np.integer)) for n in (start, stop, step))
        dtype = np.int64 if whole else np.float32
    dtype = check_dtype(dtype)
    return _created(lambda xp: xp.arange(start, stop, step).astype(dtype), device)


def linspace(
    start: float, stop: float, num: int = 50, dtype: Any = np.float32, device: str | None = None
) -> Tensor:
    """num evenly spaced numbers from start to stop, both included."""
    dtype = check_dtype(dtype or np.float32)
    return _created(lambda xp: xp.linspace(start, stop, num).astype(dtype), device)


def eye(n: int, m: int | None = None, dtype: Any = np.float32, device: str | None = None) -> Tensor:
    """The (n, m) matrix with ones on its diagonal, (n, n) by default."""
    dtype = check_dtype(dtype or np.float32)
    return _created(lambda xp: xp.eye(n, m, dtype=dtype), device)


def one_hot(index: Tensor | Array, num_classes: int, dtype: Any = np.float32) -> Tensor:
    """One-hot vectors: index (...) of integers in [0, num_classes), result (..., num_classes).

    IndexError for an index out of range.
    """
    index = whole_numbers("one_hot: index", index, index)
    if num_classes < 1:
        raise ShapeError(f"one_hot: num_classes must be at least 1, got {num_classes}")
    check_range("one_hot", index, 0, num_classes)
    rows = np.eye(num_classes, dtype=check_dtype(dtype or np.float32))
    return Tensor(to_device(rows, device_of(index))[index])
