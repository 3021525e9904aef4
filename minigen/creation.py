"""New tensors: from data, filled with one value, evenly spaced, one-hot."""

import operator
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

import numpy as np

from minigen.autodiff.signatures import with_any_keyword
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


def as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """data as a tensor, without a copy where that is possible: a tensor is returned as it is."""
    if isinstance(data, Tensor):
        return data.to(device, dtype)
    return Tensor(as_array(_unwrapped(data), dtype, device))


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor in the memory of a NumPy array; TypeError for anything else."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy takes a NumPy array, not {type(array).__name__}")
    return Tensor(array)


def _created(create: Callable, device: str | None, requires_grad: bool = False) -> Tensor:
    """A tensor of create(xp), with xp the array module of that device."""
    return Tensor(created_on(device, create)).requires_grad_(requires_grad)


def shape_of(name: str, sizes: tuple, shape: int | Shape | None = None) -> Shape:
    """The shape in a call with a shape or with several sizes; TypeError for no whole numbers."""
    if shape is None and not sizes:
        raise TypeError(f"{name}() needs a shape, such as {name}(2, 3)")
    if shape is not None and sizes:
        raise TypeError(f"{name}() got sizes and shape={shape}")
    if shape is None:
        shape = sizes[0] if len(sizes) == 1 else sizes
    several = isinstance(shape, Iterable) and getattr(shape, "ndim", 1)
    sizes = tuple(shape) if several else (shape,)
    try:
        return tuple(operator.index(n) for n in sizes)
    except TypeError:
        raise TypeError(f"{name}() needs a shape of whole numbers, got {shape!r}") from None


def _settings(name, sizes, shape, *settings):
    """(shape, dtype, device, requires_grad): settings, or those by position after the sizes."""
    whole = takewhile(lambda n: hasattr(type(n), "__index__"), sizes)
    count = max(len(list(whole)), 1) if shape is None else 0  # none is whole: the first is a shape
    rest = sizes[count:]
    dtype, device, requires_grad = (*rest, *settings[len(rest) :])
    dtype = np.float32 if dtype is None else dtype
    return shape_of(name, sizes[:count], shape), dtype, device, requires_grad


@with_any_keyword
def zeros(
    *sizes: Any,
    shape: int | Shape | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of zeros: zeros((2, 3)) or zeros(2, 3); by default of float32."""
    shape, *settings = _settings("zeros", sizes, shape, dtype, device, requires_grad)
    return full(shape, 0, *settings)


@with_any_keyword
def ones(
    *sizes: Any,
    shape: int | Shape | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ones: ones((2, 3)) or ones(2, 3); by default of float32."""
    shape, *settings = _settings("ones", sizes, shape, dtype, device, requires_grad)
    return full(shape, 1, *settings)


@with_any_keyword
def full(
    shape: int | Shape,
    value: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with all elements equal to value; by default with the dtype of mg.tensor(value)."""
    shape = shape_of("full", (shape,))
    dtype = as_array(value).dtype if dtype is None else check_dtype(dtype)
    return _created(lambda xp: xp.full(shape, value, dtype), device, requires_grad)


def zeros_like(
    x: Tensor | Array, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Zeros with the shape, dtype and device of x, where none is given."""
    return full_like(x, 0, dtype, device, requires_grad)


def ones_like(
    x: Tensor | Array, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones with the shape, dtype and device of x, where none is given."""
    return full_like(x, 1, dtype, device, requires_grad)


@with_any_keyword
def full_like(
    x: Tensor | Array,
    value: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of one value with the shape, dtype and device of x, where none is given."""
    x = x.data if isinstance(x, Tensor) else x
    array = np.full_like(x, value, dtype=dtype and check_dtype(dtype))
    return Tensor(to_device(array, device)).requires_grad_(requires_grad)


empty, empty_like = zeros, zeros_like  # a tensor always has values


@with_any_keyword
def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers start, start + step, ... up to stop, without it; arange(n) is 0 to n - 1.

    int64 if all arguments are integers, else float32.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise ValueError("arange: step must not be 0")
    if dtype is None:
        whole = all(isinstance(n, (int, np.integer)) for n in (start, stop, step))
        dtype = np.int64 if whole else np.float32
    dtype = check_dtype(dtype)
    return _created(lambda xp: xp.arange(start, stop, step).astype(dtype), device, requires_grad)


@with_any_keyword
def linspace(
    start: float,
    stop: float,
    num: int = 50,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """num evenly spaced numbers from start to stop, both included; by default of float32."""
    dtype = check_dtype(dtype or np.float32)
    return _created(lambda xp: xp.linspace(start, stop, num).astype(dtype), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The (n, m) matrix with ones on its diagonal, (n, n) by default; by default of float32."""
    dtype = check_dtype(dtype or np.float32)
    return _created(lambda xp: xp.eye(n, m, dtype=dtype), device, requires_grad)


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
