"""The errors that minigen raises. Each is also the builtin that a caller would catch."""


class ShapeError(ValueError):
    """Shapes that do not fit together, or do not fit the operation."""


class DTypeError(TypeError):
    """A dtype that the operation does not take."""


class GradError(RuntimeError):
    """A gradient that cannot be computed: no graph, a freed graph, a parameter stepped since."""


class DeviceError(RuntimeError):
    """Arrays that live on different devices met in one operation."""


class BackendUnavailable(RuntimeError):
    """A device was asked for that this machine cannot use; the message says why."""


class CheckpointError(ValueError):
    """A checkpoint file that cannot be trusted or does not fit the model."""


class DatasetError(ValueError):
    """A data file that is missing, damaged or not what it claims to be."""


def explain_arguments(error: Exception, name: str, args: list) -> None:
    """Raise what is wrong with the arguments of op `name`, if that explains its error."""
    for x in args:
        if x is not None and not isinstance(x, (bool, int, float)) and not hasattr(x, "dtype"):
            raise DTypeError(
                f"{name}: takes tensors, arrays and numbers, not {type(x).__name__}; "
                "make a tensor of it with mg.tensor"
            ) from None
    devices = sorted({str(x.device) for x in args if hasattr(x, "device")})
    if len(devices) > 1:
        raise DeviceError(f"{name}: arguments on different devices, {devices}; use .to") from None
    shapes = [getattr(x, "shape", ()) for x in args]
    if not isinstance(error, ValueError) or isinstance(error, ShapeError) or not shapes:
        return
    for axis in range(1, max(map(len, shapes)) + 1):
        sides = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(sides) > 1:
            raise ShapeError(
                f"{name}: shapes {' and '.join(map(str, shapes))} do not broadcast: "
                f"axis {-axis} has lengths {' and '.join(map(str, sorted(sides)))}"
            ) from None
