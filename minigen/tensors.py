"""The tensor: an array and its vertex in the graph. Its methods are the ops, one line each."""

import copy
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import asarray, ndarray

from minigen import ops
from minigen.autodiff.cotangents import check_cotangent, start_cotangent
from minigen.autodiff.fast_walk import backprop
from minigen.autodiff.grad_modes import grad_mode
from minigen.autodiff.graph import Alias, Leaf, Node, Output, Traced, Vertex, leaf_of_memory
from minigen.autodiff.left_out import missing
from minigen.autodiff.outline import outline
from minigen.autodiff.signatures import with_any_keyword
from minigen.backend.arrays import Array
from minigen.backend.devices import device_of, to_numpy
from minigen.backend.dtypes import DTYPES, NUMPY_FLOATS, as_array, names_dtype
from minigen.errors import DeviceError, DTypeError, GradError
from minigen.figures.graph_drawings import graph_as_html
from minigen.figures.heat_maps import as_html
from minigen.synonyms import Synonyms


class Tensor(Synonyms):
    """An array and its vertex in the graph. `Tensor(array)` wraps the array without a copy.

    Tensors are not written to: `x += 1` binds x to a new tensor.
    """

    __slots__ = ()

    def __init__(self, data: Array, node: Vertex | None = None):
        # A NumPy scalar, NumPy's result of shape (), becomes an array. as_array raises DTypeError
        # for a dtype that is not supported; arrays that ops return have been checked.
        if type(data) is not ndarray or (node is None and data.dtype not in DTYPES):
            if type(data) in (list, tuple, int):
                raise DTypeError("mg.Tensor(array) wraps an array; mg.tensor(data) makes one of it")
            data = asarray(data) if type(data) in NUMPY_FLOATS else as_array(data)
        self.data, self.node = data, node

    # ------------------------------------------------------------------ attributes

    shape: tuple[int, ...] = property(operator.attrgetter("data.shape"))  # type: ignore
    ndim: int = property(operator.attrgetter("data.ndim"))  # type: ignore
    size: int = property(operator.attrgetter("data.size"))  # type: ignore
    dtype: np.dtype[Any] = property(operator.attrgetter("data.dtype"))  # type: ignore
    device: str = property(lambda self: device_of(self.data))  # type: ignore

    @Traced.requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if isinstance(self.node, Node | Output):
            raise GradError("requires_grad can be set on leaves only; use .detach() to cut a graph")
        if value and self.dtype.kind != "f":
            raise DTypeError(f"a tensor of dtype {self.dtype} has no gradient; use floats")
        if type(self.node) is Leaf:
            if not value and self.node.requires_grad:
                # Graphs recorded before refer to this leaf. Without a new version a backward pass
                # through them would skip the leaf silently; with it, the pass raises GradError.
                self.node.version += 1
                self.node.grad = None
            self.node.requires_grad = value
        elif value:  # an optimizer will write to this memory, so nothing else may hold it
            self.data, self.node = self.data.copy(), Leaf()

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Set requires_grad and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> "Tensor | None":
        """The sum of the gradients of all backward passes so far; None if there is none."""
        return self.node.grad if type(self.node) is Leaf else None

    @grad.setter
    def grad(self, grad: "Tensor | None") -> None:
        if type(self.node) is not Leaf or not self.requires_grad:
            raise GradError("only a leaf with requires_grad=True has a gradient")
        if grad is not None:
            grad = grad if isinstance(grad, Tensor) else Tensor(as_array(grad))
            check_cotangent("gradient", grad, self)
        self.node.grad = grad

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=100)
        return f"tensor({values}, {self._facts()})"

    def _repr_html_(self) -> str:
        graph = graph_as_html(*outline(self.node))
        return as_html(self.numpy(), f"tensor of {self._facts()}", graph)

    def _facts(self):
        graph = ", requires_grad" if self.requires_grad else ""
        if isinstance(self.node, Node | Output):
            graph = f", op={self.node.op.name}"
        return f"{self.shape}, {self.dtype}, {self.device}{graph}"

    # ------------------------------------------------------------------- conversions

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array, which shares the tensor's memory if that is on the CPU."""
        return to_numpy(self.data)

    def item(self) -> float | int | bool:
        """The value of a tensor of size 1 as a Python number; ValueError for another size."""
        return self.data.item()

    def detach(self) -> "Tensor":
        """A constant with the same values, in the same memory."""
        leaf = leaf_of_memory(self.node)
        return Tensor(self.data, None if leaf is None else Alias(leaf))

    def astype(self, dtype: Any) -> "Tensor":
        """A tensor of another dtype; self if it has that dtype."""
        return ops.astype(self, dtype)

    def to(
        self,
        *device_or_dtype: Any,
        device: str | None = None,
        dtype: Any = None,
        non_blocking: bool = False,
    ) -> "Tensor":
        """A tensor on another device ("cpu", "cuda", "cuda:1"), of another dtype, or both; or self.

        Another tensor stands for its device and dtype. non_blocking changes nothing here.
        """
        x = self
        for target in (*device_or_dtype, device, dtype):
            if isinstance(target, Tensor):
                x = x.to(target.device, target.dtype)
            elif target is not None:
                x = ops.astype(x, target) if names_dtype(target) else ops.to_device(x, target)
        return x

    if not TYPE_CHECKING:  # for type checkers it would make any name an attribute

        def __getattr__(self, name):
            raise AttributeError(missing("Tensor", name))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise GradError(
                "a tensor that requires grad is no plain array; use minigen's function in place of "
                "NumPy's, as mg.stack for np.stack, or .detach() first"
            )
        if self.device != "cpu":
            raise DeviceError(f"a tensor on {self.device} is no NumPy array; use .numpy()")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        if self.requires_grad:
            raise GradError("a tensor that requires grad cannot be exported; use .detach() first")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __deepcopy__(self, memo: dict) -> "Tensor":
        if isinstance(self.node, Node | Output):
            raise GradError("only leaves can be copied deeply; use .detach() first")
        is_leaf = type(self.node) is Leaf
        twin = Tensor(self.data.copy(), Leaf(self.requires_grad) if is_leaf else None)
        if self.grad is not None:
            twin.node.grad = copy.deepcopy(self.node.grad.detach(), memo)
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:  # for pickle, which cannot write a graph
        if isinstance(self.node, Node | Output):
            raise GradError("only leaves can be pickled; use .detach() first")
        return super().__reduce_ex__(protocol)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth value of a tensor of shape {self.shape} is ambiguous")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __round__(self, digits: int | None = None) -> float | int:
        return round(self.item(), digits)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else super().__format__(spec)

    def __index__(self) -> int:
        return operator.index(self.numpy())

    # ------------------------------------------------------------------ derivatives

    @with_any_keyword
    def backward(
        self,
        cotangent: "Tensor | Array | None" = None,
        *,
        retain_graph: bool = False,
        create_graph: bool = False,
    ) -> None:
        """Add the vector-Jacobian products of cotangent with self to the `.grad` of all leaves.

        cotangent has the shape and dtype of self; by default 1, for self of size 1. The graph is
        freed unless retain_graph or create_graph. With create_graph the gradients are on a graph
        and can be differentiated; a second pass then adds to the same `.grad`, so use `mg.grad` for
        second derivatives. GradError if there is no graph, or if it was freed or written to.
        """
        roots = [(self.node, start_cotangent(self, cotangent, create_graph))]
        options = {"retain_graph": retain_graph, "create_graph": create_graph}
        found = backprop(roots, None, Tensor, **options)  # see autodiff/walk.py
        for leaf, g in found.items():
            g = g if create_graph else Tensor(g)
            if leaf.grad is not None:
                with grad_mode(create_graph):
                    g = leaf.grad + g
            leaf.grad = g

    # ------------------- methods: the ops of `ops/` (sum and mean are in reduce.py, reshape in
    # ------------------- shape.py, tanh in elementwise.py); operators are in `operators.py`

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "tensors are not written to; use mg.where(mask, value, x) or "
            "mg.scatter_add(x, index, updates), or write into .data outside of any graph"
        )

    T: "Tensor" = property(ops.transpose)  # type: ignore
    swapaxes, moveaxis, squeeze = ops.swapaxes, ops.moveaxis, ops.squeeze
    expand_dims, broadcast_to, flip, roll = ops.expand_dims, ops.broadcast_to, ops.flip, ops.roll
    repeat, tile, tril, triu, split = ops.repeat, ops.tile, ops.tril, ops.triu, ops.split
    take_along_axis, scatter_add = ops.take_along_axis, ops.scatter_add
    gather = ops.gather

    def reshape(self, *shape: Any) -> "Tensor":
        """`ops.reshape`; the shape is one tuple or several numbers."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> "Tensor":
        """`ops.transpose`; the order of the axes is one tuple, several numbers, or reversed.

        Two numbers exchange these axes of a tensor of 3 dims or more. TypeError for those that are
        the identity of a matrix to NumPy, and exchange its axes in PyTorch.
        """
        if len(axes) == 2 and self.ndim != 2:
            return ops.swapaxes(self, *axes)
        if axes in ((0, 1), (0, -1), (-2, 1), (-2, -1)):
            raise TypeError(
                f"x.transpose{axes} of a matrix is x to NumPy and the transpose to PyTorch; write "
                "x.T, x.swapaxes(0, 1) or x.transpose(1, 0) for the transpose"
            )
        return ops.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    sum, mean, var, std, norm = ops.sum, ops.mean, ops.var, ops.std, ops.norm
    max, min, prod, cumsum, logsumexp = ops.max, ops.min, ops.prod, ops.cumsum, ops.logsumexp
    argmax, argmin, any, all, sort = ops.argmax, ops.argmin, ops.any, ops.all, ops.sort
    isfinite, isinf, isnan, topk = ops.isfinite, ops.isinf, ops.isnan, ops.topk
    floor, ceil, round, argsort = ops.floor, ops.ceil, ops.round, ops.argsort

    exp, log, log1p, expm1, sqrt = ops.exp, ops.log, ops.log1p, ops.expm1, ops.sqrt
    abs, square, sign, reciprocal, erf = ops.abs, ops.square, ops.sign, ops.reciprocal, ops.erf
    sin, cos, tanh, sigmoid, relu = ops.sin, ops.cos, ops.tanh, ops.sigmoid, ops.relu
    clip, softmax, log_softmax = ops.clip, ops.softmax, ops.log_softmax
    maximum, minimum, matmul = ops.maximum, ops.minimum, ops.matmul
