"""The array backend switch: NumPy on the CPU, CuPy on an NVIDIA GPU.

A raw array knows its own device, so there is no global switch to set: `array_module(x)` gives
the module that x belongs to. This is the only file that imports cupy, and it does so only
when a GPU is asked for.
"""

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy import ndarray

from minigen.errors import BackendUnavailable, DTypeError

Array = Any  # a NumPy or CuPy array; in the signature of an op also a Tensor or a Python scalar
Shape = tuple[int, ...]

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
FLOATS = frozenset((FLOAT32, FLOAT64))
INTEGERS = frozenset(map(np.dtype, ("int8", "int16", "int32", "int64")))
UNSIGNED = frozenset(map(np.dtype, ("uint8", "uint16", "uint32", "uint64")))
DTYPES = FLOATS | INTEGERS | UNSIGNED | {np.dtype("bool")}
PYTHON_SCALARS = frozenset((bool, int, float))
NOT_ARRAYS = PYTHON_SCALARS | {type(None)}
NUMPY_FLOATS = frozenset({np.float32, np.float64})  # scalars: what NumPy makes of arrays of ()
NUMBERS, ARRAYS = NOT_ARRAYS | NUMPY_FLOATS, NUMPY_FLOATS | {ndarray}


def array_module(x: Array) -> ModuleType:
    """numpy or cupy: the module whose functions make and take arrays like x."""
    return cupy() if is_cupy(x) else np


def is_cupy(x: Any) -> bool:
    """Whether x is a CuPy array; true only where cupy has been imported already."""
    return type(x) is not ndarray and type(x).__module__.partition(".")[0] == "cupy"


def cupy() -> ModuleType:
    """The cupy module on a machine that can run it; else BackendUnavailable with the reason."""
    try:
        import cupy as module
    except Exception as error:  # a broken installation raises OSError, AttributeError and others
        raise BackendUnavailable(
            f"device 'cuda' needs cupy, which cannot be imported here ({error}); "
            "install minigen[cuda12] or minigen[cuda13], as your driver needs, or use device='cpu'"
        ) from error
    if not _finds_gpu(module):
        raise BackendUnavailable(
            "device 'cuda' needs an NVIDIA GPU with a driver, and cupy finds none here; "
            "use device='cpu'"
        )
    return module


@cache
def _finds_gpu(module: ModuleType) -> bool:
    """Whether there is a GPU; remembered, for the question costs more than a small op."""
    return bool(module.cuda.is_available())


def cuda_is_available() -> bool:
    """Whether device='cuda' would work here."""
    try:
        return bool(cupy())
    except BackendUnavailable:
        return False


def devices() -> list[str]:
    """The devices of this machine: 'cpu', then 'cuda:0' and so on."""
    count = cupy().cuda.runtime.getDeviceCount() if cuda_is_available() else 0
    return ["cpu"] + [f"cuda:{i}" for i in range(count)]


_matmul_precision = "highest"


def set_matmul_precision(precision: str) -> None:
    """How a GPU multiplies float32 matrices: "highest", or "high" for TF32.

    TF32 rounds the factors to 10 bits of mantissa and is several times faster.
    """
    global _matmul_precision
    if precision not in ("highest", "high"):
        raise ValueError(f"matmul precision must be 'highest' or 'high', got {precision!r}")
    _matmul_precision = precision


def get_matmul_precision() -> str:
    """What set_matmul_precision has set last; "highest" at the start."""
    return _matmul_precision


# The recording of a CUDA graph that is under way, or None: see training/recording.py.
capturing: ContextVar[Any] = ContextVar("capturing", default=None)


def pinned(shape: Shape, dtype: Any) -> np.ndarray:
    """An array of the host that the GPU reads and writes without the host waiting."""
    memory = cupy().cuda.alloc_pinned_memory(math.prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)


def free_memory() -> int:
    """The bytes that are free on the current GPU: those of the driver and of CuPy's pool."""
    module = cupy()
    return module.cuda.runtime.memGetInfo()[0] + module.get_default_memory_pool().free_bytes()


def device_memory(device: str = "cuda") -> dict[str, int]:
    """Bytes on a GPU: "used" by arrays, "held" for them, "free" beside that, "total"."""
    module = cupy()
    with module.cuda.Device(device_number(resolve_device(device))):
        free, total = module.cuda.runtime.memGetInfo()
        pool = module.get_default_memory_pool()
        held = {"used": pool.used_bytes(), "held": pool.total_bytes()}
        return {**held, "free": free, "total": total}


def made_on(device: str | None, make: Callable[[ModuleType], Array]) -> Array:
    """What make makes of the module of arrays, numpy or cupy: it is born on the device."""
    if (name := resolve_device(device)) == "cpu":
        return make(np)
    with cupy().cuda.Device(device_number(name)):
        return make(cupy())


def device_number(name: str) -> int:
    """N of 'cuda:N'."""
    return int(name.partition(":")[2])


def resolve_device(name: str | None) -> str:
    """'cpu' or 'cuda:N' for None, 'cpu', 'cuda', 'cuda:N' or 'auto' (a GPU if there is one).

    'cuda:N' becomes the GPU on which this thread computes; 'cuda' is that which it computes on.
    """
    if name is None or name == "cpu":
        return "cpu"
    if name == "auto":
        return "cuda:0" if cuda_is_available() else "cpu"
    kind, _, number = str(name).partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise ValueError(f"device {name!r} is not 'cpu', 'cuda', 'cuda:N' or 'auto'")
    module = cupy()
    if not number:
        return f"cuda:{module.cuda.Device().id}"
    resolved = f"cuda:{int(number)}"
    if resolved not in devices():
        raise BackendUnavailable(f"device {resolved!r} does not exist here, only {devices()}")
    module.cuda.Device(int(number)).use()
    return resolved


def device_of(x: Array) -> str:
    """'cpu' or 'cuda:N': where a raw array lives."""
    return f"cuda:{x.device.id}" if is_cupy(x) else "cpu"


def to_device(x: Array, device: str | None) -> Array:
    """x on that device; x itself where it lies there already or device is None."""
    target = device_of(x) if device is None else resolve_device(device)
    if target == device_of(x):
        return x
    if target == "cpu":
        return to_numpy(x)
    module = cupy()
    with module.cuda.Device(device_number(target)):
        return module.asarray(x)


def to_numpy(x: Array) -> np.ndarray:
    """x as a NumPy array; no copy for one that is."""
    return x.get() if is_cupy(x) else np.asarray(x)


def largest(x: Array, axis: int | Shape, empty: float) -> Array:
    """The maximum over axis, which stays as a side of 1; `empty` where there is nothing."""
    if x.size:
        return x.max(axis=axis, keepdims=True)
    axes = axis if isinstance(axis, tuple) else (axis,)
    sides = [1 if i in axes or i - x.ndim in axes else n for i, n in enumerate(x.shape)]
    return array_module(x).full(sides, empty, x.dtype)


def as_array(data: Any, dtype: Any = None, device: str | None = None) -> Array:
    """A raw array from data, dtype checked: Python floats become float32, ints int64.

    Arrays and NumPy scalars keep their dtype and are not copied. Raises DTypeError.
    """
    _refuse_masked(data)
    if not is_cupy(data):
        typed = _has_dtype(data)
        try:
            data = np.asarray(data)
        except (ValueError, TypeError) as error:
            kind = type(data).__name__
            raise DTypeError(f"no array can be made of this {kind}: {error}") from None
        if dtype is None and not typed and data.dtype == np.float64:
            dtype = np.float32
    if dtype is None or data.dtype.kind not in "fiub":
        check_dtype(data.dtype)
    if dtype is not None:
        data = data.astype(check_dtype(dtype), copy=False)
    return to_device(data, device)


def _has_dtype(data: Any) -> bool:
    """Whether data, or the first thing in nested lists, has a dtype to keep."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    _refuse_masked(data)
    return hasattr(data, "dtype")


def _refuse_masked(x: Any) -> None:
    if isinstance(x, np.ma.MaskedArray):
        raise DTypeError("masked arrays are not supported; fill them first, with x.filled(value)")


def owner(x: Array) -> Array:
    """The array whose memory x views: two arrays that share memory have one owner."""
    return x if x.base is None else x.base


def broadcast_shapes(*shapes: Shape) -> Shape:
    """np.broadcast_shapes, which takes 5 us, but for shapes that are all the same."""
    first = shapes[0]
    for shape in shapes:
        if shape != first:
            return np.broadcast_shapes(*shapes)
    return first


def check_dtype(dtype: Any) -> np.dtype:
    """The NumPy dtype meant by dtype, if minigen supports it; else DTypeError."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"{dtype!r} is not a dtype") from None
    if dtype is None:
        raise DTypeError("None is not a dtype; name one, as mg.float32")
    if found not in DTYPES:
        raise DTypeError(
            f"dtype {found} is not supported: float32, float64, integers and bool are, "
            "in the byte order of this machine; convert with .astype first"
        )
    return found


def names_dtype(name: Any) -> bool:
    """Whether name, of a device or a dtype, means a dtype."""
    try:
        np.dtype(name)
    except TypeError:
        return not isinstance(name, str)
    return True


def checked(args: Sequence) -> Sequence:
    """args, if their dtypes are supported; else DTypeError."""
    for x in args:
        if type(x) not in NOT_ARRAYS and not (type(x) in ARRAYS and x.dtype in DTYPES):
            check_dtype(x.dtype)
            _refuse_masked(x)
            if isinstance(x, ndarray):  # np.matrix, say, whose operators are other ones
                return [x.view(ndarray) if isinstance(x, ndarray) else x for x in args]
    return args


def promoted(args: Sequence, real: bool = False) -> Sequence:
    """args, checked, for NumPy's promotion; but integers beside floats take the floats' dtype.

    With real, or beside a Python float, arrays of integers alone become float32.
    """
    for x in args:
        if type(x) is ndarray:
            if x.dtype is not FLOAT32 and x.dtype is not FLOAT64:  # by identity: no hash is taken
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
    """args promoted for a function into the reals: of float dtypes."""
    return promoted(args, real=True)
