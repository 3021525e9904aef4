"""Fused ops: a readable definition, and beside it a faster forward and backward.

    @fused(definition, backward)
    def softplus(x): ...

The definition is a composition of other ops. It specifies the op, and its derivatives are those of
higher order. A test compares forward and backward with it.
"""

from collections.abc import Callable

from minigen.autodiff import checks
from minigen.autodiff.fast_walk import backprop
from minigen.autodiff.grad_modes import grad_mode
from minigen.autodiff.graph import NOT_SAVED, Leaf, Node, Spec, Traced
from minigen.autodiff.primitives import Op, Primitive, function_of
from minigen.backend.dtypes import checked


def fused(
    definition: Callable,
    backward: Callable | None = None,
    prepare: Callable[[list], list] = checked,
    returns_new: bool = False,
    writes: tuple[str, ...] = (),
) -> Callable:
    """Declare an op that computes `definition`, a composition of other ops, in a faster way.

    The decorated forward returns (y, residuals): what backward reads besides the arguments.
    backward(g, residuals, wanted, *arrays, **static) returns a tuple with the cotangent of each
    array; wanted[i] says whether that of array i is wanted (see also `DEFERRABLE` in
    `parallel/deferred.py`). Derivatives of higher order, or of any order without a backward, are
    computed by recording the definition and differentiating it. prepare and returns_new: as for
    `primitive`. writes: names of arguments that forward writes to, as batch_norm does.
    """
    return lambda forward: function_of(
        Fused(forward, definition, backward, prepare, returns_new, writes)
    )


class Fused(Op):
    """An op with a readable definition, a fast forward and one fast backward for all arguments."""

    has_residuals = True

    def __init__(self, forward, definition, backward, prepare, returns_new, writes):
        super().__init__(forward, prepare, returns_new=returns_new and backward is not None)
        self.definition, self.backward, self.writes = definition, backward, writes
        checks.check_definition(self)

    def rule(self, i, create_graph):
        """The function that computes the cotangent of argument i; None if there is none."""
        return None if create_graph else self.backward

    def values_for_rule(self, i, g, node, wanted):
        """The values with which backward is called, by name."""
        first = {"g": g, "residuals": node.residuals, "wanted": wanted}
        return first | dict(zip(self.signature.arrays, node.args))

    def must_save(self, tracked):
        """All arguments, since the definition may read any, but not y."""
        return False, (True,) * len(tracked)

    def cotangents(self, g, node, wanted, cls, create_graph):
        """What backward returns; for higher orders, the gradients of the definition."""
        if self.backward and not create_graph:
            found = self.backward(g, node.residuals, wanted, *node.args, **node.static)
            return checks.checked_cotangents(self, found)
        # Record the definition and walk back through that graph only. The plain way, to call the
        # definition on the arguments themselves, would add up the cotangents of a tensor that is
        # passed as two arguments, and the walk would go on into the graph that the arguments came
        # from. So each argument is replaced by a stand-in: an identity node over it, or a new leaf.
        args, _ = node.saved_as_handles(cls) if create_graph else (node.args, None)
        with grad_mode(True):
            inner = [_stand_in(x, w, cls) for x, w in zip(args, wanted)]
            result = self.definition(*inner, **node.static)
        results = checks.checked_definition(self, result, node.num_outputs, g)
        pairs = zip(results, g if isinstance(g, tuple) else (g,))
        roots = [(r.node, gr) for r, gr in pairs if gr is not None and r.requires_grad]
        inputs = [x.node if w else None for x, w in zip(inner, wanted)]
        stop = {x.node for x in inner if isinstance(x, Traced)}
        found = backprop(roots, set(inputs), cls, create_graph=create_graph, stop=stop)
        return [found.get(vertex) for vertex in inputs]


def _identity(x):
    return x


# Its forward is never called. Its rule passes cotangents of higher order on to the argument.
STAND_IN = Primitive(_identity, (lambda g, y, x: g,), "")


def _stand_in(x, wanted, cls):
    """A new handle for an argument: on an identity node if that has a graph, else on a new leaf."""
    if isinstance(x, Traced) and x.node.requires_grad:
        return cls(x.data, Node(STAND_IN, (x.node,), (Spec(x.data),), NOT_SAVED, None, {}, None))
    return cls(x, Leaf()) if wanted else x
