"""Gradient checks for minigen's ops and for yours, and Hypothesis strategies for more tests.

Reading order. gradcheck: `closeness` (errors and limits), `numerical` (derivatives by differences),
`slopes` (a gradient compared with them), `pullback` (one order of derivatives), `aliasing` (misuse
of memory), `causes` and `diagnosis` (which op is wrong, and why), `functional`, `checking`
(gradcheck itself).
Tests of ops: `choices` (random shapes and values), `case` (how one op is tested), `cases_*` (a
family of ops each) and their table `cases`; `memory` (layouts); `ownership` and `properties` (what
must hold of a call of an op); `table` (the report of the command line). Random programs: `graphs`,
`graph_draws`, `graph_properties`. `strategies` has all of these for Hypothesis. `faults/` plants
wrong derivatives, to test the checks themselves.
"""

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
