"""Reverse-mode automatic differentiation: the graph, and the walk back through it.

A `Traced` handle pairs an array with the vertex of the graph that made it: a `Leaf`, where
gradients are kept, or a `Node`, which remembers one call of an op. Each op has one rule per
array argument: rule i takes the cotangent g of the output y and gives that of argument i.
Walking from the output back to the leaves, rule by rule, is the chain rule.

Rules are written with operators and other ops, and ops take raw arrays as well as tensors. So
one text serves twice: the walk hands the rules raw arrays and gets raw gradients, and no graph;
or it hands them tensors, and then the gradient is itself a graph, to be differentiated again.

This file knows neither arrays nor tensors nor any op. How ops are declared, and how a call of
one becomes a node, is the next file: `primitives.py`.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import ContextDecorator, nullcontext
from contextvars import ContextVar
from typing import Any

from minigen.errors import GradError, ShapeError

trace_observer: ContextVar[Any] = ContextVar("trace_observer", default=None)  # see trace.py
_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
is_grad_enabled = _grad_enabled.get

LATER = 2  # is true: wanted, but not looked at before the walk is done
MOST_ADDED = 8  # cotangents at most that wait to be added: they take memory

# ------------------------------------------------------------------------------ the graph


class Traced:
    """A handle: an array, and the vertex that made it (None for a constant)."""

    __slots__ = ("data", "node")
    __array_ufunc__ = None  # array + Traced asks Traced, not NumPy

    def __init__(self, data: Any, node: "Vertex | None" = None):
        self.data, self.node = data, node


class Leaf:
    """A vertex that no op made. `version` counts the changes of its array since it was made."""

    __slots__ = ("grad", "version")
    op, parents, depth = None, (), 0

    def __init__(self):
        self.grad, self.version = None, 0


class Node:
    """One call of an op: the vertices of its arguments, and the values that its rules need.

    It holds no handle, so a graph has no cycle and is freed with its last handle. The values
    are dropped (args is None) when a walk has passed. `site` is set by an observer alone.
    """

    __slots__ = ("args", "depth", "op", "parents", "residuals", "site", "stamp", "static", "y")
    version = 0  # only leaves are written to

    def __init__(self, op, parents, args, y, residuals, static, depth, stamp):
        self.op, self.parents, self.static = op, parents, static
        self.args, self.y, self.residuals = args, y, residuals
        self.depth = depth  # more than that of any parent
        self.stamp = stamp  # sum of the parents' versions; they only grow, so it tells a change


class Output:
    """One output of an op with several; its one parent is the node of the call.

    The walk collects under (node, index): `_handles` makes further Outputs of a node, and what
    flows into them must meet.
    """

    __slots__ = ("depth", "index", "parents")
    version = 0

    def __init__(self, node: Node, index: int):
        self.parents, self.index, self.depth = (node,), index, node.depth + 1

    @property
    def op(self):
        return self.parents[0].op


Vertex = Leaf | Node | Output


class Spec:
    """Shape and dtype: all that a rule sees of an argument that was not saved."""

    __slots__ = ("dtype", "shape")

    def __init__(self, x):
        self.shape, self.dtype = x.shape, x.dtype


# ------------------------------------------------------------------- whether to record one


class grad_mode(ContextDecorator):
    """Whether ops record a graph, for the length of a with block or of a decorated function."""

    def __init__(self, enabled: bool):
        self.enabled, self.tokens = enabled, []

    def __enter__(self):
        self.tokens.append(_grad_enabled.set(self.enabled))

    def __exit__(self, *_):
        _grad_enabled.reset(self.tokens.pop())

    def _recreate_cm(self):  # each call of a decorated function, on any thread, has its own tokens
        return grad_mode(self.enabled)


# --------------------------------------------------------------------------- the walk back


def backprop(
    roots: Sequence[tuple[Vertex, Any]],
    inputs: Collection[Vertex] | None,
    cls: type[Traced],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    stop: Collection[Vertex] = (),
    finish: Callable[[], None] | None = None,
) -> dict[Vertex, Any]:
    """The cotangents of inputs (None: of every leaf), each an array of its own.

    roots pairs vertices with their cotangents. The walk is iterative, each vertex visited once.
    With create_graph cotangents are handles of class cls, and the walk itself is recorded. It
    does not look beyond the vertices in stop. Where there is finish, rules may put off what is
    wanted LATER, new arrays for leaves: finish(), which the caller calls at the end, makes them.
    """
    order, useful = _plan([vertex for vertex, _ in roots], inputs, stop)
    observer, found = trace_observer.get(), {}
    sums: dict[Any, Any] = {}  # what has flowed so far into a vertex, or into (node, output index)
    finish = None if create_graph or observer is not None else finish
    added: list[tuple] = []  # to cotangents of leaves, when these are made
    owned = None if create_graph else set()  # the keys of sums that are in nobody else's hands
    for vertex, g in roots:
        _add(sums, vertex, g, owned)
    with grad_mode(True) if create_graph else nullcontext():
        while order:
            vertex = order.pop()
            if added and type(vertex) is Leaf:
                _add_all(sums, added, owned, finish)
            if type(vertex) is Node and type(vertex.y) is tuple:
                g = tuple(sums.pop((vertex, i), None) for i in range(len(vertex.y)))
                if all(part is None for part in g):
                    continue
            else:
                g = sums.pop(vertex, None)
                if g is None:
                    continue
            asked_for = type(vertex) is Leaf if inputs is None else vertex in inputs
            if asked_for:
                found[vertex] = g if owned and vertex in owned else _own(g)
            if type(vertex) is Leaf or vertex in stop:
                continue
            if type(vertex) is Output:
                _add(sums, (vertex.parents[0], vertex.index), g, owned)
                continue
            asked = vertex.parents if useful is None else useful
            wanted = [
                p is not None and p in asked and (LATER if finish and type(p) is Leaf else True)
                for p in vertex.parents
            ]
            if not any(wanted):  # an input, and nothing is asked for beyond it
                continue
            args, y = _handles(vertex, cls) if create_graph else (vertex.args, vertex.y)
            parts = vertex.op.pull(g, vertex, wanted, args, y, cls, create_graph)
            if observer is not None:
                observer.pulled(vertex, parts)
            for is_wanted, parent, x, part in zip(wanted, vertex.parents, vertex.args, parts):
                if is_wanted and part is not None:
                    if create_graph or part.shape != x.shape or part.dtype != x.dtype:
                        part = _checked_part(part, x, vertex, create_graph and cls)
                    of_leaf, first = type(parent) is Leaf, parent not in sums
                    mine = of_leaf and first and owned is not None
                    if mine and _is_new(part, parts, g, vertex):
                        owned.add(parent)
                    if first or not of_leaf or finish is None:
                        _add(sums, parent, part, owned)
                    else:
                        added.append((parent, part))
                    if len(added) == MOST_ADDED:
                        _add_all(sums, added, owned, finish)
            if not (retain_graph or create_graph):
                vertex.args = vertex.y = vertex.residuals = None
    return found


def _add(sums, key, g, owned):
    """Add a cotangent. The first sum of two allocates; later ones add in place to that array."""
    if key not in sums:
        sums[key] = g
    elif owned is not None and key in owned:
        sums[key] += g
    else:
        sums[key] = sums[key] + g
        if owned is not None:
            owned.add(key)


def _add_all(sums, added, owned, finish):
    """Add what is to be added to cotangents of leaves, in the order in which it came."""
    finish()
    for leaf, g in added:
        _add(sums, leaf, g, owned)
    added.clear()


def _is_new(part, parts, g, node):
    """Whether a rule made this array: it is no view, nor any that the rule was given."""
    if part.base is not None:
        return False
    times = 0
    for group in (parts, g, node.y, node.residuals, node.args):
        for x in group if type(group) in (tuple, list) else (group,):
            times += part is x
    return times == 1


def _own(g):
    """g in an array of its own: it may be the cotangent of something else as well."""
    return type(g)(g.data.copy(), g.node) if isinstance(g, Traced) else g.copy()


def _plan(roots, inputs, stop):
    """The vertices to visit, parents first, and those that lead to inputs (None: all do).

    Raises GradError, before anything is computed, if one cannot be passed any more.
    """
    order, useful = _parents_first(roots, stop), None
    if inputs is not None:
        useful = set()
        for vertex in order:
            if vertex in inputs or not useful.isdisjoint(vertex.parents):
                useful.add(vertex)
        order = [vertex for vertex in order if vertex in useful]
    for vertex in order:
        if type(vertex) is Node and vertex not in stop:
            _check_usable(vertex)
    return order, useful


def _parents_first(roots, stop):
    """The vertices that lead to roots, each after its parents, which are less deep."""
    reached, stack = {}, list(roots)
    while stack:
        vertex = stack.pop()
        if vertex is not None and vertex not in reached:
            reached[vertex] = vertex.depth
            if vertex not in stop:
                stack.extend(vertex.parents)
    return sorted(reached, key=reached.get)


def _check_usable(node):
    if node.args is None:
        raise GradError(
            f"the graph was freed by an earlier backward pass (at op {node.op.name!r}); "
            "pass retain_graph=True to that pass, or compute the output again"
        )
    stamp = 0
    for parent in node.parents:
        if parent is not None:
            stamp += parent.version
    if stamp != node.stamp:
        raise GradError(
            f"a parameter used by op {node.op.name!r} has been changed since, by an optimizer "
            "step, load_state_dict, .to or freezing: run backward before, or compute it again"
        )


def _handles(node, cls):
    """The saved values of a node as tensors on the graph."""
    pairs = zip(node.args, node.parents)
    args = [x if p is None or isinstance(x, Spec) else cls(x, p) for x, p in pairs]
    if type(node.y) is tuple:
        outputs = enumerate(node.y)
        return args, tuple(None if y is None else cls(y, Output(node, i)) for i, y in outputs)
    return args, None if node.y is None else cls(node.y, node)


def _checked_part(g, x, node, cls):
    """The cotangent g of argument x: checked for its shape, in its dtype, a handle if cls."""
    if g.shape != x.shape:
        raise ShapeError(
            f"a derivative rule of op {node.op.name!r} returned shape {g.shape} "
            f"for an argument of shape {x.shape}"
        )
    if g.dtype != x.dtype:
        g = g.astype(x.dtype)
    return cls(g) if cls and not isinstance(g, Traced) else g
