"""The operators of tensors are the ops: `x @ w` is `ops.matmul(x, w)`."""

from collections.abc import Callable

from minigen import ops
from minigen.autodiff.graph import Traced, in_place


def _reflected(op: Callable) -> Callable:
    return lambda self, other: op(other, self)


def _equality(op: Callable) -> Callable:
    """== or !=; for what is no number, such as text, Python's answer: never equal to a tensor."""

    def compared(self, other):
        comparable = hasattr(other, "dtype") or isinstance(other, int | float | list | tuple)
        return op(self, other) if comparable else NotImplemented

    return compared


class Operators(Traced):
    """A handle with the operators of Python: the ops of elementwise.py, comparing.py, linalg.py."""

    __slots__ = ()
    __hash__ = object.__hash__

    __add__ = __radd__ = ops.add
    __sub__, __rsub__ = ops.subtract, _reflected(ops.subtract)
    __mul__ = __rmul__ = ops.multiply
    __truediv__, __rtruediv__ = ops.divide, _reflected(ops.divide)
    __floordiv__, __rfloordiv__ = ops.floor_divide, _reflected(ops.floor_divide)
    __mod__, __rmod__ = ops.remainder, _reflected(ops.remainder)
    __pow__, __rpow__ = ops.power, _reflected(ops.power)
    __matmul__, __rmatmul__ = ops.matmul, _reflected(ops.matmul)
    __iadd__, __isub__, __imul__ = map(in_place, (ops.add, ops.subtract, ops.multiply))
    __itruediv__, __ipow__, __imatmul__ = map(in_place, (ops.divide, ops.power, ops.matmul))
    __neg__, __abs__, __getitem__ = ops.negative, ops.abs, ops.getitem

    # Comparisons have no derivative: they return boolean tensors.
    __eq__, __ne__ = _equality(ops.eq), _equality(ops.ne)
    __lt__, __le__, __gt__, __ge__ = ops.lt, ops.le, ops.gt, ops.ge
    __invert__ = ops.bitwise_not
    __and__ = __rand__ = ops.bitwise_and
    __or__ = __ror__ = ops.bitwise_or
    __xor__ = __rxor__ = ops.bitwise_xor
