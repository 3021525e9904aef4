"""The cotangent with which a backward pass starts, and its checks."""

from typing import Any

import numpy as np
from numpy import ndarray

from minigen.autodiff.graph import Traced
from minigen.backend.arrays import Array, array_module
from minigen.errors import DTypeError, GradError, ShapeError


def start_cotangent(y: Traced, cotangent: Any, create_graph: bool) -> Any:
    """The cotangent with which a walk from y starts, checked: an array, with create_graph a tensor.

    GradError, ShapeError or DTypeError if y has no graph or the cotangent does not fit y.
    """
    if not y.requires_grad:
        raise GradError(
            "nothing that this tensor was computed from requires grad (or grad mode was off): "
            "make the inputs with requires_grad=True"
        )
    if cotangent is None:
        if y.size != 1:
            raise GradError(
                f"backward from a tensor of shape {y.shape}, which is no scalar: reduce it, with "
                f".sum() or .mean(), or pass a cotangent of shape {y.shape}"
            )
        g = array_module(y.data).empty_like(y.data)
        g.fill(1)
        return type(y)(g) if create_graph else g
    g = cotangent.data if isinstance(cotangent, Traced) else cotangent
    check_cotangent("cotangent", g, y)
    g = np.asarray(g) if isinstance(g, ndarray) else g  # np.matrix multiplies differently
    if create_graph:
        return cotangent if isinstance(cotangent, Traced) else type(y)(g)
    return g


def check_cotangent(name: str, g: Traced | Array, y: Traced) -> None:
    """ShapeError or DTypeError unless g has the shape and dtype of y."""
    if not hasattr(g, "dtype"):
        raise DTypeError(f"a {name} is a tensor or an array, not {type(g).__name__}")
    if g.shape != y.shape:
        raise ShapeError(f"the {name} has shape {g.shape}, the tensor {y.shape}: they must agree")
    if g.dtype != y.dtype:
        raise DTypeError(f"the {name} has dtype {g.dtype}, the tensor {y.dtype}: use .astype")
