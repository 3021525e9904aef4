"""What is wrong with the arguments of an op, in one sentence that names the op.

Ops run without checking what Python or NumPy will notice anyway. When that has raised, this
file looks at the arguments and says what the user needs to know.
"""

import re
from collections.abc import Sequence
from typing import Any

from minigen.backend import PYTHON_SCALARS, as_array
from minigen.errors import DeviceError, DTypeError, ShapeError

ARRAY_ATTRIBUTES = ("dtype", "ndim", "shape", "size", "reshape", "sum", "transpose", "astype")


def scalar_as_array(error: Exception, args: Sequence) -> list | None:
    """args with the Python number that was taken for an array made one; None if there is none."""
    culprit = getattr(error, "obj", None)
    if not (isinstance(error, AttributeError) and type(culprit) in PYTHON_SCALARS):
        return None
    for i, x in enumerate(args):
        if x is culprit:
            return [*args[:i], as_array(x), *args[i + 1 :]]
    return None


def explained(error: Exception, name: str, args: Sequence) -> Exception:
    """The error to raise in the place of error, which op `name` met with args."""
    if str(error).startswith(name) or re.match(r"[a-z_0-9]+(\(\))?: ", str(error)):
        return error  # it says already
    if isinstance(error, AttributeError) and error.name in ARRAY_ATTRIBUTES:
        return _no_array(name, error.obj)
    if isinstance(error, TypeError) and not isinstance(error, DTypeError):
        devices = sorted({str(x.device) for x in args if hasattr(x, "device")})
        if len(devices) > 1:
            return DeviceError(f"{name}: arguments on different devices, {devices}; use .to")
        for x in args:
            if x is None or isinstance(x, str | list):
                return _no_array(name, x)
        if type(error).__module__.startswith("numpy"):
            return DTypeError(f"{name}: {error}")
    parts = [part for x in args for part in (x if isinstance(x, list | tuple) else [x])]
    arrays = [x for x in parts if isinstance(getattr(x, "shape", None), tuple)]
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


def _broadcast_clash(shapes: list[tuple[int, ...]]) -> str:
    for axis in range(1, max(map(len, shapes), default=0) + 1):
        sides = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(sides) > 1:
            return f"axis {-axis} has lengths {' and '.join(map(str, sorted(sides)))}"
    return ""
