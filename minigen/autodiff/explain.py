"""What is wrong with the arguments of an op, in one sentence that names the op.

Ops run without checking what Python or NumPy will notice anyway. When that has raised, this
file looks at the arguments and says what the user needs to know.
"""

import re
from collections.abc import Sequence
from typing import Any

from minigen.backend.devices import device_of, free_memory
from minigen.backend.dtypes import PYTHON_SCALARS, as_array
from minigen.errors import DeviceError, DTypeError, ShapeError

ARRAY_ATTRIBUTES = ("dtype", "ndim", "shape", "size", "reshape", "sum", "transpose", "astype")


def with_number_as_array(error: Exception, args: Sequence) -> list | None:
    """args with an array for the Python number that error says was taken for one; or None.

    Most ops get arrays. So a number is made one where an op has failed on it, and not looked for
    in each call.
    """
    number = error.obj if isinstance(error, AttributeError) else None
    if type(number) not in PYTHON_SCALARS:
        return None
    for i, x in enumerate(args):
        if x is number:
            return [*args[:i], as_array(x), *args[i + 1 :]]
    return None


def explained(error: Exception, name: str, args: Sequence) -> Exception:
    """The error to raise in the place of error, which op `name` met with args."""
    if str(error).startswith(name) or re.match(r"[a-z_0-9]+(\(\))?: ", str(error)):
        return error  # it says already
    if isinstance(error, MemoryError):
        on_gpu = type(error).__module__.startswith("cupy")
        free = f"; {free_memory():,} bytes are free there" if on_gpu else ""
        return MemoryError(f"{name}: {error}{free}; take smaller batches or a smaller model")
    if isinstance(error, AttributeError) and error.name in ARRAY_ATTRIBUTES:
        return _no_array(name, error.obj)
    parts = [part for x in args for part in (x if isinstance(x, list | tuple) else [x])]
    arrays = [x for x in parts if isinstance(getattr(x, "shape", None), tuple)]
    if len({_device(x) for x in arrays}) > 1:
        return _two_devices(name, arrays)
    if isinstance(error, TypeError) and not isinstance(error, DTypeError):
        for x in args:
            if x is None or isinstance(x, str | list):
                return _no_array(name, x)
        if type(error).__module__.startswith("numpy"):
            return DTypeError(f"{name}: {error}")
    shapes = " and ".join(str(tuple(x.shape)) for x in arrays)
    if isinstance(error, ShapeError) or type(error).__name__ == "AxisError":
        return ShapeError(f"{name}: {error}; shapes {shapes}")
    if isinstance(error, DTypeError):
        return DTypeError(f"{name}: {error}")
    if isinstance(error, ValueError):
        clash = _broadcast_clash([tuple(x.shape) for x in arrays])
        if clash:
            return ShapeError(f"{name}: shapes {shapes} do not broadcast: {clash}")
    return error


def _no_array(name: str, x: Any) -> DTypeError:
    return DTypeError(
        f"{name}: takes tensors, arrays and numbers, not {type(x).__name__}; "
        "make a tensor of it with mg.tensor"
    )


def _device(x: Any) -> str:
    device = getattr(x, "device", None)
    return device if isinstance(device, str) else device_of(x)


def _two_devices(name: str, arrays: list) -> DeviceError:
    places = [_device(x) for x in arrays]
    other = next(i for i, place in enumerate(places) if place != places[0])
    said = [f"array {i}, of shape {arrays[i].shape}, is on {places[i]}" for i in (0, other)]
    return DeviceError(f"{name}: {' and '.join(said)}; bring both to one device with .to")


def _broadcast_clash(shapes: list[tuple[int, ...]]) -> str:
    for axis in range(1, max(map(len, shapes), default=0) + 1):
        sides = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(sides) > 1:
            return f"axis {-axis} has lengths {' and '.join(map(str, sorted(sides)))}"
    return ""


def name_module(error: Exception, module: Any) -> None:
    """Add to the message the path of the module that failed; called from the inside out."""
    message, failed = vars(error).setdefault("origin", (str(error), module))
    for path, part in module.named_modules():
        if part is failed:
            kind, whole = type(failed).__name__, type(module).__name__
            error.args = (f"{message}; in {f'{path} ({kind}) of {whole}' if path else whole}",)
            return
