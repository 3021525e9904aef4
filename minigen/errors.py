"""The errors that minigen raises. Each is a subclass of the builtin that a caller would catch."""


class ShapeError(ValueError):
    """Shapes that do not fit together, or do not fit the operation."""


class DTypeError(TypeError):
    """A dtype that the operation does not take."""


class GradError(RuntimeError):
    """A gradient that cannot be computed: no graph, a freed graph, a parameter changed since."""


class DeviceError(RuntimeError):
    """The arguments of one operation are on different devices."""


class BackendUnavailable(RuntimeError):
    """A device that this machine cannot use; the message gives the reason."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, cannot be written, or does not fit the model."""


class DatasetError(ValueError):
    """A data file that is missing, damaged or of another format than its name says."""


class DistributedError(RuntimeError):
    """Another process of those that train together has failed, or differs from this one."""
