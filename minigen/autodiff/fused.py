"""Fused ops: a readable definition, and beside it a faster forward and backward.

    @fused(definition, backward)
    def softplus(x): ...

The definition is a composition of other ops. It says what the op is, and gives the derivatives
of higher order; a test holds the fast ways to it.
"""

from collections.abc import Callable

from minigen.autodiff import checks
from minigen.autodiff.fast_walk import backprop
from minigen.autodiff.graph import NOT_SAVED, Leaf, Node, Spec, Traced, grad_mode
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

    The decorated forward returns (y, residuals). First-order gradients come from
    backward(g, residuals, wanted, *arrays, **static), a tuple with one for each array; wanted says
    which are wanted (see also `parallel.deferred.DEFERRABLE`). Higher orders, and first ones where
    there is no backward, trace the definition again and differentiate that: nobody writes a second
    derivative by hand. prepare and returns_new: as for `primitive`. writes: arguments that forward
    writes to, as batch_norm does to its running statistics, and nothing else.
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
        """The function that gives the cotangent of argument i; None if there is none."""
        return None if create_graph else self.backward

    def values_for_rule(self, i, g, node, wanted):
        """What backward is called with, by name."""
        first = {"g": g, "residuals": node.residuals, "wanted": wanted}
        return first | dict(zip(self.signature.arrays, node.args))

    def keeps(self, tracked):
        """All arguments: the definition may read any."""
        return False, (True,) * len(tracked)

    def cotangents(self, g, node, wanted, cls, create_graph):
        """What backward returns; for higher orders, the gradients of the definition."""
        if self.backward and not create_graph:
            parts = self.backward(g, node.residuals, wanted, *node.args, **node.static)
            return checks.checked_parts(self, parts)
        # Trace the definition on stand-ins and walk that small graph alone. A stand-in is an
        # identity node over its argument: so a tensor that is two arguments gets two cotangents,
        # and the walk does not run on into the graph that the arguments came from.
        args, _ = node.saved_as_handles(cls) if create_graph else (node.args, None)
        with grad_mode(True):
            inner = [_stand_in(x, w, cls) for x, w in zip(args, wanted)]
            result = self.definition(*inner, **node.static)
        results = checks.checked_results(self, result, node.num_outputs, g)
        pairs = zip(results, g if isinstance(g, tuple) else (g,))
        roots = [(r.node, part) for r, part in pairs if part is not None and r.requires_grad]
        inputs = [x.node if w else None for x, w in zip(inner, wanted)]
        stop = {x.node for x in inner if isinstance(x, Traced)}
        found = backprop(roots, set(inputs), cls, create_graph=create_graph, stop=stop)
        return [found.get(vertex) for vertex in inputs]


def _identity(x):
    return x


# Never called: its rule alone is used, where higher derivatives flow on to the argument itself.
_STAND_IN = Primitive(_identity, (lambda g, y, x: g,), "")


def _stand_in(x, wanted, cls):
    """Another handle for an argument: on the graph if it is, on a leaf of its own if raw."""
    if isinstance(x, Traced) and x.node.requires_grad:
        return cls(x.data, Node(_STAND_IN, (x.node,), (Spec(x.data),), NOT_SAVED, None, {}, None))
    return cls(x, Leaf()) if wanted else x
