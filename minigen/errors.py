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
