"""The supported dtypes, their promotion, and the conversion of data to arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from minigen.backend.arrays import Array, is_cupy
from minigen.backend.devices import to_device
from minigen.errors import DTypeError

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
FLOATS = frozenset((FLOAT32, FLOAT64))
INTEGERS = frozenset(map(np.dtype, ("int8", "int16", "int32", "int64")))
UNSIGNED = frozenset(map(np.dtype, ("uint8", "uint16", "uint32", "uint64")))
DTYPES = FLOATS | INTEGERS | UNSIGNED | {np.dtype("bool")}
PYTHON_SCALARS = frozenset((bool, int, float))
NOT_ARRAYS = PYTHON_SCALARS | {type(None)}
NUMPY_FLOATS = frozenset({np.float32, np.float64})  # scalars: NumPy's results of shape ()
NUMBERS, ARRAYS = NOT_ARRAYS | NUMPY_FLOATS, NUMPY_FLOATS | {ndarray}


def as_array(data: Any, dtype: Any = None, device: str | None = None) -> Array:
    """data as a raw array of a supported dtype: Python floats become float32, ints int64.

    Arrays keep their dtype and are not copied, unless dtype or device differ. DTypeError if data
    cannot become an array of numbers, or if the dtype of the result is not supported.
    """
    _refuse_masked(data)
    typed = True
    if not is_cupy(data):
        typed = _has_dtype(data)
        try:
            data = np.asarray(data)
        except (ValueError, TypeError) as error:
            name = type(data).__name__
            raise DTypeError(f"no array can be made of this {name}: {error}") from None
        if dtype is None and not typed and data.dtype == np.float64:
            dtype = np.float32
    if dtype is None or data.dtype.kind not in "fiub":
        check_dtype(data.dtype)
    if dtype is not None:
        dtype = check_dtype(dtype)
        if not typed and dtype.kind in "iu":
            _refuse_wrapping(data, dtype)
        data = data.astype(dtype, copy=False)
    return to_device(data, device)


def _refuse_wrapping(numbers: np.ndarray, dtype: np.dtype) -> None:
    """DTypeError for numbers that an integer dtype has not; astype would wrap them around."""
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    outside = ~((numbers >= least) & (numbers <= most))  # NaN, too
    if outside.any():
        value = numbers[outside].flat[0]
        raise DTypeError(f"{value} does not fit {dtype}, whose values are from {least} to {most}")


def _has_dtype(data: Any) -> bool:
    """Whether data, or the first element of nested lists, is an array or NumPy scalar."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    _refuse_masked(data)
    return hasattr(data, "dtype")


def _refuse_masked(x: Any) -> None:
    if isinstance(x, np.ma.MaskedArray):
        raise DTypeError("masked arrays are not supported; fill them first, with x.filled(value)")


ASTYPE = "convert with .astype first"
REMEDIES = {  # by NumPy's kind of dtype
    "U": "map texts to integers first, as data.Vocabulary does",
    "S": "map bytes to integers first, as np.frombuffer(x, np.uint8) does",
    "O": "its parts are no numbers, or rows of different lengths: make one array of numbers first",
    "c": "take .real and .imag as two arrays",
}


def check_dtype(dtype: Any) -> np.dtype:
    """dtype as a NumPy dtype; DTypeError if minigen does not support it."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"{dtype!r} is not a dtype") from None
    if dtype is None:
        raise DTypeError("None is not a dtype; name one, as mg.float32")
    if found not in DTYPES:
        raise DTypeError(
            f"dtype {found} is not supported: float32, float64, integers and bool are, "
            f"in the byte order of this machine; {REMEDIES.get(found.kind, ASTYPE)}"
        )
    return found


def names_dtype(name: Any) -> bool:
    """Whether name, of a dtype or a device, is that of a dtype."""
    try:
        np.dtype(name)
    except TypeError:
        return not isinstance(name, str)
    return True


def plain_number(x: Any) -> Any:
    """A NumPy scalar such as np.float64(2) as a Python number, which never widens; else x.

    NumPy promotes float32 with np.float64(2) to float64, with 2.0 to float32. An array of shape ()
    has a dtype on purpose, as the arrays of tensors do, and stays as it is.
    """
    return x.item() if isinstance(x, np.generic) and x.dtype in DTYPES else x


def checked(args: Sequence) -> Sequence:
    """args, subclasses of ndarray as ndarray; DTypeError for a dtype that is not supported."""
    for x in args:
        if type(x) not in NOT_ARRAYS and not (type(x) in ARRAYS and x.dtype in DTYPES):
            check_dtype(x.dtype)
            _refuse_masked(x)
            if isinstance(x, ndarray):  # a subclass such as np.matrix, which multiplies differently
                return [x.view(ndarray) if isinstance(x, ndarray) else x for x in args]
    return args


def promoted(args: Sequence, real: bool = False) -> Sequence:
    """args with integer and boolean arrays converted to the dtype of the float arrays.

    NumPy promotes float32 with float64. Without a float array, the others become float32 if
    real is true or a Python float is among args. DTypeError as in `checked`.
    """
    for x in args:
        if type(x) is ndarray:
            if x.dtype is not FLOAT32 and x.dtype is not FLOAT64:  # faster than a look-up in FLOATS
                break
        elif type(x) not in NUMBERS:
            break
    else:
        return args
    args = checked(args)
    floats = [x.dtype for x in args if type(x) not in NOT_ARRAYS and x.dtype in FLOATS]
    if not (floats or real or any(type(x) is float for x in args)):
        return args
    target = np.result_type(*floats) if floats else np.dtype(np.float32)
    return [x if type(x) in NOT_ARRAYS or x.dtype in FLOATS else x.astype(target) for x in args]


def floating(args: Sequence) -> Sequence:
    """args as float arrays, for functions such as exp whose results are not integers."""
    return promoted(args, real=True)
