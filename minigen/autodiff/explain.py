"""Error messages: what is wrong with the arguments of an op, in one sentence that names the op.

Ops do not check what Python or NumPy check anyway, since that would cost time in each call. After
an exception, the functions of this file look at the arguments and word the message.
"""

import re
from collections.abc import Sequence
from typing import Any

from numpy import generic

from minigen.autodiff.names import OF_SHAPES, with_hint
from minigen.backend.devices import device_of, free_memory
from minigen.backend.dtypes import PYTHON_SCALARS, as_array, plain_number
from minigen.errors import DeviceError, DTypeError, ShapeError

ARRAY_ATTRIBUTES = ("dtype", "ndim", "shape", "size", "reshape", "sum", "transpose", "astype")


def with_number_as_array(error: Exception, args: Sequence) -> list | None:
    """args with an array in place of the Python number that the AttributeError names; or None.

    To convert numbers before each call would cost time, and most arguments are arrays. So a number
    is converted after the op has failed on it, and the op is called again.
    """
    number = error.obj if isinstance(error, AttributeError) else None
    if type(number) not in PYTHON_SCALARS:
        return None
    for i, x in enumerate(args):
        if x is number or (isinstance(x, generic) and plain_number(x) == number):
            return [*args[:i], as_array(number), *args[i + 1 :]]
    return None


def explained(error: Exception, name: str, args: Sequence) -> Exception:
    """The error to raise instead of error, which the op `name` raised for args."""
    if type(error) is TypeError and str(error).startswith((f"{name}() ", "an axis is")):
        return TypeError(with_hint(str(error), name))  # about the arguments of the call
    if isinstance(error, ShapeError) and name in OF_SHAPES:
        if not str(error).startswith(name):
            error = f"{name}: {error}; shapes {_shapes(_arrays(args))}"
        return ShapeError(with_hint(str(error), name))
    if str(error).startswith(name) or re.match(r"[a-z_0-9]+(\(\))?: ", str(error)):
        return error  # its message names an op already
    if isinstance(error, MemoryError):
        on_gpu = type(error).__module__.startswith("cupy")
        free = f"; {free_memory():,} bytes are free there" if on_gpu else ""
        return MemoryError(f"{name}: {error}{free}; take smaller batches or a smaller model")
    if isinstance(error, AttributeError) and error.name in ARRAY_ATTRIBUTES:
        return _no_array(name, error.obj)
    arrays = _arrays(args)
    if len({_device(x) for x in arrays}) > 1:
        return _two_devices(name, arrays)
    if isinstance(error, TypeError) and not isinstance(error, DTypeError):
        for x in args:
            if x is None or isinstance(x, str | list):
                return _no_array(name, x)
        if type(error).__module__.startswith("numpy"):
            return DTypeError(f"{name}: {error}")
        if any(hasattr(x, "node") for x in arrays):  # a handle within a handle
            return DTypeError(
                f"{name}: the .data of a tensor is a tensor; assign an array, as in p.data = x.data"
            )
    shapes = _shapes(arrays)
    if isinstance(error, ShapeError) or type(error).__name__ == "AxisError":
        return ShapeError(f"{name}: {error}; shapes {shapes}")
    if isinstance(error, DTypeError):
        return DTypeError(f"{name}: {error}")
    if isinstance(error, ValueError):
        clash = _broadcast_clash([tuple(x.shape) for x in arrays])
        if clash:
            return ShapeError(f"{name}: shapes {shapes} do not broadcast: {clash}")
    return error


def _arrays(args: Sequence) -> list:
    """The arrays among args, and in its lists and tuples."""
    parts = [part for x in args for part in (x if isinstance(x, list | tuple) else [x])]
    return [x for x in parts if isinstance(getattr(x, "shape", None), tuple)]


def _shapes(arrays: Sequence) -> str:
    return " and ".join(str(tuple(x.shape)) for x in arrays)


def _no_array(name: str, x: Any) -> DTypeError:
    return DTypeError(
        f"{name}: takes tensors, arrays and numbers, not {type(x).__name__}; "
        "make a tensor of it with mg.tensor"
    )


def _device(x: Any) -> str:
    device = getattr(x, "device", None)
    return device if isinstance(device, str) else device_of(x)


def _two_devices(name: str, arrays: list) -> DeviceError:
    devices = [_device(x) for x in arrays]
    other = next(i for i, device in enumerate(devices) if device != devices[0])
    both = [f"array {i}, of shape {arrays[i].shape}, is on {devices[i]}" for i in (0, other)]
    return DeviceError(f"{name}: {' and '.join(both)}; bring both to one device with .to")


def _broadcast_clash(shapes: list[tuple[int, ...]]) -> str:
    """The last axis whose lengths do not broadcast, in words; "" if there is none."""
    for axis in range(1, max(map(len, shapes), default=0) + 1):
        lengths = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(lengths) > 1:
            return f"axis {-axis} has lengths {' and '.join(map(str, sorted(lengths)))}"
    return ""


def explain_call(error: AttributeError | TypeError, module: Any) -> None:
    """A note for the call of an int, as PyTorch's `x.size()` is here; DTypeError for no array."""
    if isinstance(error, AttributeError):
        if error.name in ARRAY_ATTRIBUTES and isinstance(error.obj, list | tuple | int | float):
            raise _no_array(type(module).__name__, error.obj) from error
        return
    if str(error) == "'int' object is not callable" and not hasattr(error, "__notes__"):
        error.add_note("x.size is the number of values; PyTorch's x.size(0) is x.shape[0] here")


def name_module(error: Exception, module: Any) -> None:
    """Add the path of the module that failed, within module, to the message of error.

    Each enclosing module calls this as error propagates, the innermost one first.
    """
    message, failed = vars(error).setdefault("origin", (str(error), module))
    for path, part in module.named_modules():
        if part is failed:
            part_class, whole = type(failed).__name__, type(module).__name__
            where = f"{path} ({part_class}) of {whole}" if path else whole
            error.args = (f"{message}; in {where}",)
            return
