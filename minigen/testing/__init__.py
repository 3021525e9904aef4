"""Checks of gradients and of ops, minigen's own and yours; Hypothesis strategies for more."""

from minigen.testing.checking import GradcheckError, gradcheck
from minigen.testing.closeness import assert_close
from minigen.testing.numerical import complex_step_jvp, numerical_jvp
from minigen.testing.strategies import (
    broadcastable_shapes,
    layouts,
    op_cases,
    shapes,
    tensors,
)

__all__ = [
    "GradcheckError",
    "assert_close",
    "broadcastable_shapes",
    "complex_step_jvp",
    "gradcheck",
    "layouts",
    "numerical_jvp",
    "op_cases",
    "shapes",
    "tensors",
]
