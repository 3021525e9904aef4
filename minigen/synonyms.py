"""PyTorch's names of the methods of tensors, where the meaning is the same."""

from typing import Any, Self

from minigen import ops
from minigen.autodiff.graph import Node, Output
from minigen.autodiff.signatures import with_any_keyword
from minigen.backend.arrays import array_module, is_cupy
from minigen.backend.devices import to_numpy
from minigen.backend.dtypes import check_dtype
from minigen.operators import Operators
from minigen.ops import parts, synonyms


class Synonyms(Operators):
    """Methods of PyTorch's tensors: other names for ops, or a line on them. See PYTORCH.md."""

    __slots__ = ()

    # ------------------------------------------------------------------ the ops themselves

    add, sub, mul, div = ops.add, ops.subtract, ops.multiply, ops.divide
    subtract, multiply, divide, true_divide = ops.subtract, ops.multiply, ops.divide, ops.divide
    pow, neg, negative, absolute = ops.power, ops.negative, ops.negative, ops.abs
    remainder, floor_divide = ops.remainder, ops.floor_divide
    lerp, rsqrt = synonyms.lerp, synonyms.rsqrt
    exp2, log2, log10, tan, sinh, cosh = ops.exp2, ops.log2, ops.log10, ops.tan, ops.sinh, ops.cosh
    asin, acos, atan, atan2 = ops.arcsin, ops.arccos, ops.arctan, ops.arctan2
    arcsin, arccos, arctan, arctan2 = ops.arcsin, ops.arccos, ops.arctan, ops.arctan2
    clamp, clamp_min, clamp_max = ops.clip, synonyms.clamp_min, synonyms.clamp_max
    masked_fill = synonyms.masked_fill

    eq, ne, lt, le, gt, ge = ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge
    not_equal, less, less_equal, greater, greater_equal = ops.ne, ops.lt, ops.le, ops.gt, ops.ge
    logical_not, logical_and = ops.logical_not, ops.logical_and
    logical_or, logical_xor = ops.logical_or, ops.logical_xor
    bitwise_not, bitwise_and = ops.bitwise_not, ops.bitwise_and
    bitwise_or, bitwise_xor = ops.bitwise_or, ops.bitwise_xor
    isclose, allclose, equal = synonyms.isclose, synonyms.allclose, synonyms.equal

    mm = bmm = mv = dot = ops.matmul
    ger = outer = ops.outer
    amax, amin, cumprod = synonyms.amax, synonyms.amin, ops.cumprod
    trunc = synonyms.trunc
    count_nonzero, nonzero, argwhere = parts.count_nonzero, parts.nonzero, parts.argwhere

    unsqueeze, swapdims, movedim = ops.expand_dims, ops.swapaxes, ops.moveaxis
    flatten, unflatten = synonyms.flatten, synonyms.unflatten
    ravel, t = synonyms.ravel, synonyms.t
    fliplr, flipud, repeat_interleave = synonyms.fliplr, synonyms.flipud, ops.repeat
    select, narrow, index_select = parts.select, parts.narrow, parts.index_select
    masked_select, chunk, tensor_split = parts.masked_select, parts.chunk, parts.tensor_split
    unbind, diag, diagonal, trace = parts.unbind, parts.diag, parts.diagonal, parts.trace
    clone = ops.clone

    # ------------------------------------------------------------------------------ shapes

    def view(self, *shape: Any) -> Self:
        """`reshape`: the result is a view where one is possible."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def view_as(self, other: Any) -> Self:
        """self in the shape of other."""
        return ops.reshape(self, other.shape)

    reshape_as = view_as

    def permute(self, *dims: Any) -> Self:
        """`transpose`: axis dims[i] of self is axis i of the result."""
        return ops.transpose(self, tuple(dims[0]) if len(dims) == 1 else dims)

    @property
    def mT(self) -> Self:
        """The matrices in the last two axes, transposed."""
        return ops.swapaxes(self, -2, -1)

    def expand(self, *size: Any) -> Self:
        """self broadcast to size, where -1 leaves a length as it is."""
        return synonyms.expand(self, size[0] if isinstance(size[0], tuple | list) else size)

    def expand_as(self, other: Any) -> Self:
        """self broadcast to the shape of other."""
        return ops.broadcast_to(self, other.shape)

    def where(self, condition: Any, other: Any) -> Self:
        """self where condition is true, else other."""
        return ops.where(condition, self, other)

    # ------------------------------------------------------------------------------- facts

    def dim(self) -> int:
        """The number of axes, `ndim`."""
        return self.data.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of values, `size`."""
        return self.data.size

    nelement = numel

    def element_size(self) -> int:
        """The bytes of a value."""
        return self.data.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is float32 or float64."""
        return self.data.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        """Whether the values are in memory one after the other, in C order."""
        return bool(self.data.flags.c_contiguous)

    @property
    def is_cuda(self) -> bool:
        """Whether the values are on a GPU."""
        return is_cupy(self.data)

    @property
    def is_leaf(self) -> bool:
        """Whether no op recorded this tensor: a parameter, an input or a constant."""
        return not isinstance(self.node, Node | Output)

    def tolist(self) -> Any:
        """The values as Python's numbers, in nested lists."""
        return to_numpy(self.data).tolist()

    # -------------------------------------------------------- copies, devices and new tensors

    def contiguous(self) -> Self:
        """self: where memory must be in C order, ops copy it themselves."""
        return self

    def cpu(self) -> Self:
        """self on the CPU."""
        return ops.to_device(self, "cpu")

    def cuda(self, device: str | int = "cuda") -> Self:
        """self on a GPU."""
        return ops.to_device(self, f"cuda:{device}" if isinstance(device, int) else device)

    def type_as(self, other: Any) -> Self:
        """self in the dtype of other."""
        return ops.astype(self, other.dtype)

    def new_zeros(self, *size: Any, dtype: Any = None) -> Self:
        """Zeros with the dtype and device of self."""
        return self.new_full(*size, fill_value=0, dtype=dtype)

    def new_ones(self, *size: Any, dtype: Any = None) -> Self:
        """Ones with the dtype and device of self."""
        return self.new_full(*size, fill_value=1, dtype=dtype)

    @with_any_keyword
    def new_full(self, *size: Any, fill_value: Any = None, dtype: Any = None) -> Self:
        """A tensor with all values fill_value, and the dtype and device of self."""
        if fill_value is None:
            *size, fill_value = size
        shape = size[0] if len(size) == 1 else tuple(size)
        dtype = self.data.dtype if dtype is None else check_dtype(dtype)
        return type(self)(array_module(self.data).full(shape, fill_value, dtype))

    def new_tensor(self, data: Any) -> Self:
        """A tensor with a copy of data, and the dtype and device of self."""
        xp = array_module(self.data)
        return type(self)(xp.array(to_numpy(getattr(data, "data", data)), self.data.dtype))

    # Last, since they hide Python's names in what follows.

    def double(self) -> Self:
        """self as float64."""
        return ops.astype(self, "float64")

    def long(self) -> Self:
        """self as int64."""
        return ops.astype(self, "int64")

    def short(self) -> Self:
        """self as int16."""
        return ops.astype(self, "int16")

    def byte(self) -> Self:
        """self as uint8."""
        return ops.astype(self, "uint8")

    def float(self) -> Self:
        """self as float32."""
        return ops.astype(self, "float32")

    def int(self) -> Self:
        """self as int32."""
        return ops.astype(self, "int32")

    def bool(self) -> Self:
        """self as bool: whether each value is not 0."""
        return ops.astype(self, "bool")
