"""The operators of tensors are the ops: `x @ w` is `ops.matmul(x, w)`."""

from typing import Any, Self

from minigen import ops
from minigen.autodiff.graph import Traced, in_place


class Operators(Traced):
    """A handle with the operators of Python: the ops of elementwise.py, comparing.py, linalg.py."""

    __slots__ = ()
    __hash__ = object.__hash__

    __add__ = __radd__ = ops.add
    __mul__ = __rmul__ = ops.multiply
    __sub__, __truediv__, __floordiv__ = ops.subtract, ops.divide, ops.floor_divide
    __mod__, __pow__, __matmul__ = ops.remainder, ops.power, ops.matmul
    __neg__, __abs__, __getitem__ = ops.negative, ops.abs, ops.getitem

    def __pos__(self) -> Self:
        return self

    def __rsub__(self, other: Any) -> Self:
        return ops.subtract(other, self)

    def __rtruediv__(self, other: Any) -> Self:
        return ops.divide(other, self)

    def __rfloordiv__(self, other: Any) -> Self:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: Any) -> Self:
        return ops.remainder(other, self)

    def __rpow__(self, other: Any) -> Self:
        return ops.power(other, self)

    def __rmatmul__(self, other: Any) -> Self:
        return ops.matmul(other, self)

    __iadd__, __isub__ = in_place(ops.add), in_place(ops.subtract)
    __imul__, __itruediv__ = in_place(ops.multiply), in_place(ops.divide)
    __ipow__, __imatmul__ = in_place(ops.power), in_place(ops.matmul)
    __ifloordiv__, __imod__ = in_place(ops.floor_divide), in_place(ops.remainder)

    # Comparisons have no derivative: they return boolean tensors. What is no number, such as text,
    # is never equal to a tensor: NotImplemented lets Python answer.

    def __eq__(self, other: Any) -> Self:  # type: ignore[override]
        return ops.eq(self, other) if _is_comparable(other) else NotImplemented

    def __ne__(self, other: Any) -> Self:  # type: ignore[override]
        return ops.ne(self, other) if _is_comparable(other) else NotImplemented

    __lt__, __le__, __gt__, __ge__ = ops.lt, ops.le, ops.gt, ops.ge
    __invert__ = ops.bitwise_not
    __and__ = __rand__ = ops.bitwise_and
    __or__ = __ror__ = ops.bitwise_or
    __xor__ = __rxor__ = ops.bitwise_xor


def _is_comparable(x):
    return hasattr(x, "dtype") or isinstance(x, int | float | list | tuple)
