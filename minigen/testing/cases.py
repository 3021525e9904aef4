"""The table of all cases: every public op, and the private fused ops that public ones call."""

from minigen import ops
from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY
from minigen.testing.case import Call, Case
from minigen.testing.cases_attention import ATTENTION
from minigen.testing.cases_comparing import COMPARING
from minigen.testing.cases_conv import CONV
from minigen.testing.cases_elementwise import ELEMENTWISE
from minigen.testing.cases_indexing import INDEXING
from minigen.testing.cases_linalg import LINALG
from minigen.testing.cases_losses import LOSSES
from minigen.testing.cases_neural import NEURAL
from minigen.testing.cases_pooling import POOLING
from minigen.testing.cases_recurrent import RECURRENT
from minigen.testing.cases_reduce import RAW, REDUCE
from minigen.testing.cases_shape import SHAPE
from minigen.testing.choices import Choices

CASES: dict[str, Case] = {
    **ELEMENTWISE,
    **COMPARING,
    **SHAPE,
    **INDEXING,
    **REDUCE,
    **RAW,
    **LINALG,
    **NEURAL,
    **CONV,
    **POOLING,
    **RECURRENT,
    **ATTENTION,
    **LOSSES,
}
DIFFERENTIABLE = [name for name, case in CASES.items() if not case.raw]


def names_without_case() -> list[str]:
    """The ops without a case that need one: all public ops and all fused ops."""
    public = {name for name in REGISTRY if not name.startswith("_")}
    fused = {name for name, op in REGISTRY.items() if isinstance(op, Fused)}
    return sorted((public | fused | set(ops.__all__)) - CASES.keys())


def draw_call(name: str, choices: Choices) -> Call:
    """A random call of the op of that name."""
    args, kwargs = CASES[name].arguments(choices)
    return Call(name, CASES[name], args, kwargs)
