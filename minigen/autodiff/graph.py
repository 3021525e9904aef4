"""The graph: the record of a computation, through which gradients flow back.

A `Traced` handle pairs an array with its vertex in the graph. A `Leaf` is a vertex that is not the
result of an op: gradients are accumulated there. A `Node` is one call of an op: it refers to the
vertices of its arguments, its parents, and saves the values that the derivative rules of the op
will read. Edges point from results to arguments, the direction in which gradients flow.

    x = mg.tensor([1.0, 2.0], requires_grad=True)       x.node is a Leaf
    y = x * 2                                           y.node is a Node, its parents [x.node, None]

This file depends neither on arrays nor on tensors nor on any op. The next file to read is
`walk.py`: the backward walk through the graph.
"""

from contextvars import ContextVar
from typing import Any

from minigen.autodiff.grad_modes import F, is_grad_enabled
from minigen.errors import GradError

trace_observer: ContextVar[Any] = ContextVar("trace_observer", default=None)  # see trace.py


class Traced:
    """A handle: an array, and its vertex in the graph (None for a constant)."""

    __slots__ = ("data", "node")
    __array_ufunc__ = None  # so NumPy leaves array + Traced to the operators of Traced

    def __init__(self, data: Any, node: "Vertex | None" = None):
        self.data, self.node = data, node

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this handle. `Tensor` can set it on leaves and constants."""
        return self.node is not None and self.node.requires_grad


class Leaf:
    """A vertex that is not the result of an op: a parameter, an input, or a buffer.

    A buffer has requires_grad=False. Only the arrays of leaves are ever written to; `version`
    counts these writes. `reducer` adds the gradients of other processes, where several train
    together: see `Reducer` in reducers.py.
    """

    __slots__ = ("__weakref__", "grad", "reducer", "requires_grad", "version")
    op, parents, depth = None, (), 0

    def __init__(self, requires_grad: bool = True):
        self.grad, self.requires_grad, self.version = None, requires_grad, 0
        self.reducer = None


class Node:
    """One call of an op: the vertices of its arguments, and the saved values that its rules read.

    A node holds no handle, so a graph has no reference cycle and is freed with its last handle. One
    exception: `backward(create_graph=True)` makes a cycle from a leaf to its grad, which is a
    handle, and through the graph of that grad back to the leaf; `zero_grad()` cuts it.
    `args` has an argument if a rule that may be called reads it, else a `Spec`, its shape and
    dtype. If in x @ w only w requires a gradient, args is [x, Spec(w)]: the rule for w reads x.
    `y`, the result or a tuple of results, is saved likewise, else it is `NOT_SAVED`. `residuals`
    are further values that the forward of a fused op saves for its backward. `site`, the line of
    the user's code, is set by an observer.
    """

    __slots__ = (
        *("args", "depth", "num_outputs", "op", "parents", "residuals", "site", "static"),
        *("version_sum", "y", "__weakref__"),
    )
    requires_grad, version = True, 0  # the result of an op is never written to

    def __init__(self, op, parents, args, y, residuals, static, num_outputs):
        self.op, self.parents, self.static = op, parents, static
        self.args, self.y, self.residuals = args, y, residuals
        self.num_outputs = num_outputs  # None for an op that returns one array, not a tuple
        depth = version_sum = 0
        for parent in parents:
            if parent is not None:
                version_sum += parent.version
                if parent.depth >= depth:
                    depth = parent.depth + 1
        self.depth = depth  # greater than that of any parent
        # Versions only grow, so if one of them has changed, the sum has changed.
        self.version_sum = version_sum

    def check_usable(self) -> None:
        """GradError if the saved values were freed, or were written to after the call."""
        if self.args is None:
            raise GradError(
                f"the graph was freed by an earlier backward pass (at op {self.op.name!r}); "
                "pass retain_graph=True to that pass, or compute the output again"
            )
        version_sum = 0
        for parent in self.parents:
            if parent is not None:
                version_sum += parent.version
        if version_sum != self.version_sum:
            raise GradError(
                f"a parameter or buffer used by op {self.op.name!r} has been changed since, by an "
                "optimizer step, load_state_dict, .to, batch_norm or freezing: run backward "
                "before, or compute the output again"
            )

    def pull(self, g, wanted, cls, create_graph):
        """The cotangents of the arguments, from the cotangent g of the result.

        wanted: for each argument, whether its cotangent is wanted; where not, it is None. cls: the
        class of handles, which is `Tensor` (this file does not import it). `Op.pull` in
        primitives.py calls the rules.
        """
        return self.op.pull(g, self, wanted, cls, create_graph)

    def free(self) -> None:
        """Drop the saved values."""
        self.args = self.y = self.residuals = None

    def saved_as_handles(self, cls: type[Traced]) -> tuple[list, Any]:
        """(args, y) as handles, so that the graph records what a rule computes from them.

        The handle of y has this node as its vertex. In the rule of tanh, g * (1 - y * y), the
        product y * y is then a new node whose two parents are this node: the graph of the gradient
        is connected to the graph of y. A constant (parent None) stays a raw array.
        """
        pairs = zip(self.args, self.parents)
        args = [x if p is None or isinstance(x, Spec) else cls(x, p) for x, p in pairs]
        if type(self.y) is tuple:
            # New `Output` vertices whose parent is this node: their cotangents are added in it.
            return args, tuple(cls(y, Output(self, i)) for i, y in enumerate(self.y))
        return args, (self.y if self.y is NOT_SAVED else cls(self.y, self))


class Output:
    """The vertex of one result of an op with several; its only parent is the node of the call."""

    __slots__ = ("depth", "index", "parents")
    requires_grad = True
    version = property(lambda self: self.parents[0].version)

    def __init__(self, node: Node, index: int):
        self.parents, self.index, self.depth = (node,), index, node.depth + 1

    @property
    def op(self):
        return self.parents[0].op

    def pull(self, g, wanted, cls, create_graph):
        """The cotangent of the node: g for this output, None for the others."""
        outputs = range(self.parents[0].num_outputs)
        return (OutputCotangents(g if i == self.index else None for i in outputs),)  # one parent

    def free(self) -> None:
        """An output saves no value."""


class OutputCotangents(tuple):
    """The cotangent of a node with several outputs: one for each, None where there is none yet."""

    def __add__(self, other):
        pairs = zip(self, other)
        return OutputCotangents(b if a is None else a if b is None else a + b for a, b in pairs)


class View(Node):
    """A call whose result shares the memory of its only argument, as that of reshape."""

    __slots__ = ("leaf",)
    version = property(lambda self: self.leaf.version if self.leaf else 0)

    def __init__(self, *fields):
        super().__init__(*fields)
        self.leaf = leaf_of_memory(self.parents[0])


class Alias:
    """The vertex of a constant that shares the memory of a leaf, as `w.detach()`.

    No gradient flows through an alias. Its version is that of the leaf, so `check_usable` of a node
    that saved the constant notices when the leaf is written to. (A `View` also has the version of
    its leaf, but gradients do flow through it.)
    """

    __slots__ = ("leaf",)
    op, parents, depth, requires_grad = None, (), 0, False
    version = property(lambda self: self.leaf.version)

    def __init__(self, leaf: Leaf):
        self.leaf = leaf


Vertex = Leaf | Node | Output | Alias


def leaf_of_memory(vertex: Vertex | None) -> Leaf | None:
    """The leaf whose memory a vertex's array is in; None if it is in no leaf's memory."""
    if isinstance(vertex, Output):
        vertex = vertex.parents[0]
    return vertex if isinstance(vertex, Leaf) else getattr(vertex, "leaf", None)


def count_write(vertex: Vertex | None) -> None:
    """Count a write into a vertex's memory, so that `check_usable` of older nodes raises."""
    if (leaf := leaf_of_memory(vertex)) is not None:
        leaf.version += 1


class NotSaved:
    """Stands for a value that no rule declared to read; reading it raises TypeError."""

    __slots__ = ()
    __hash__ = object.__hash__

    def _refuse(self, *_, **__):
        raise TypeError("this value was not saved for the derivative rule")

    __array__ = __bool__ = __eq__ = __ne__ = __iter__ = __len__ = __getitem__ = _refuse


class Spec(NotSaved):
    """Shape and dtype: all that a rule can read of an argument that was not saved."""

    __slots__ = ("dtype", "shape")

    def __init__(self, x):
        self.shape, self.dtype = x.shape, x.dtype


NOT_SAVED = NotSaved()  # stands for a result that was not saved


def in_place(op: F) -> F:
    """An operator such as += that computes x = op(x, y), which binds the name to a new handle.

    GradError for a parameter, which would stay as it is: a leaf that requires grad, where grad mode
    is off or it has a gradient.
    """

    def assigned(x, y):
        leaf = x.node
        if (
            type(leaf) is Leaf
            and leaf.requires_grad
            and (leaf.grad is not None or not is_grad_enabled())
        ):
            raise GradError(
                f"{op.__name__}: an in-place operator would bind the name to a new tensor, and "
                "leave the parameter as it is; update parameters with an optimizer, such as "
                "mg.optim.SGD, or write x = x + y if you mean a new tensor"
            )
        return op(x, y)

    return assigned
