"""Checks of gradients and of ops, minigen's own and yours; Hypothesis strategies for more."""

from minigen.testing.checking import gradcheck
from minigen.testing.closeness import assert_close
from minigen.testing.diagnosis import Fault
from minigen.testing.numerical import complex_step_jvp, numerical_jvp
from minigen.testing.pullback import GradcheckError
from minigen.testing.strategies import (
    broadcastable_shapes,
    layouts,
    op_cases,
    programs,
    shapes,
    tensors,
)

__all__ = [
    "Fault",
    "GradcheckError",
    "assert_close",
    "broadcastable_shapes",
    "complex_step_jvp",
    "gradcheck",
    "layouts",
    "numerical_jvp",
    "op_cases",
    "programs",
    "shapes",
    "tensors",
]
