"""All parameters of a model as one vector, as line searches and quasi-Newton methods want them."""

from collections.abc import Iterable

from minigen import ops
from minigen.autodiff.graph import count_write
from minigen.backend.devices import to_device
from minigen.errors import ShapeError
from minigen.tensors import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The values of all parameters, in order, as one tensor (N,), with its derivative."""
    return ops.concatenate([ops.reshape(p, (-1,)) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy vec (N,), of the layout of `parameters_to_vector`, into the parameters.

    ShapeError, and no change, unless vec has as many values as they have.
    """
    parameters, start = list(parameters), 0
    total = sum(p.size for p in parameters)
    if vec.shape != (total,):
        raise ShapeError(f"vector_to_parameters: vec {vec.shape} must be ({total},)")
    for p in parameters:
        p.data[...] = to_device(vec.data[start : start + p.size].reshape(p.shape), p.device)
        count_write(p.node)
        start += p.size
