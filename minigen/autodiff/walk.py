"""The backward walk from outputs to leaves: the chain rule, vertex by vertex.

The cotangent of a vertex, g, is the gradient of the final output with respect to the value of that
vertex. If a value is used several times, its cotangent is the sum of the cotangents that flow back
from its uses. So a vertex may be visited only after every vertex that was computed from it. Depth
gives such an order: a node is deeper than its parents.

For mean(tanh(x @ w)) the depths are 3, 2, 1, and 0 for the leaf w. The walk calls, in this order,

    mean     g / N, repeated                  the rule is in ops/reduce.py
    tanh     g * (1 - y * y)                  ops/elementwise.py
    matmul   x.T @ g                          ops/linalg.py

The rules are written with operators and ops, which take raw arrays or handles. So the same rules
serve every order of derivative. `Primitive.cotangents` calls them with the raw saved values, and no
graph is recorded. With create_graph it calls them with the same values as handles, and the ops in
the rules record nodes, as all ops do. For the example (depths in brackets):

    mean     c = g / N has no node: g, the 1 that the walk starts with, is a constant
    tanh     s = y * y (3; both parents are the node of tanh), d = 1 - s (4), e = c * d (5)
    matmul   x.T @ e (6): the gradient of w

A second walk may start from that gradient of w. It visits 6, 5, 4 and 3. Each of the two rules of
y * y returns a cotangent for tanh, and these are added. Then the walk visits tanh and matmul, and
ends at w. It does not visit mean, because c is a constant.

The call chain of a backward pass:

    Tensor.backward (which adds to `.grad`) or mg.grad (in gradients.py)
    backprop (fast_walk.py) chooses one of the two walks:
        walk (below) on handles, if create_graph is set
        fast_walk on raw arrays: the same results, bit for bit, in less time
    Node.pull, then Op.pull, which checks the cotangents that Primitive.cotangents returns
    Primitive.cotangents calls the rules
"""

from contextlib import nullcontext
from functools import partial

from minigen.autodiff.grad_modes import grad_mode
from minigen.autodiff.graph import Leaf, Node, Traced
from minigen.autodiff.reducers import reducers_of


def walk(roots, inputs, cls, *, retain_graph=False, create_graph=False, stop=()):
    """A dict from each vertex in inputs (None: from each leaf) to a copy of its cotangent.

    A vertex that no cotangent reaches has no entry. roots: pairs (vertex, cotangent) to start from;
    the cotangents are raw arrays, or with create_graph handles of class cls. stop: vertices whose
    parents are not visited (used by `fused.py`). The graph is freed unless retain_graph or
    create_graph.
    """
    order, inputs = plan([vertex for vertex, _ in roots], inputs, stop)
    sums, found = {}, {}
    for vertex, g in roots:
        add(sums, vertex, g)
    # With create_graph the rules must be recorded, even if the user is in no_grad.
    with grad_mode(True) if create_graph else nullcontext():
        for vertex in reversed(order):
            g = sums.pop(vertex, None)
            if g is None:  # no cotangent has reached this vertex
                continue
            if vertex in inputs:
                found[vertex] = copied(g)
                if type(vertex) is Leaf and vertex.reducer is not None and not create_graph:
                    vertex.reducer.completed(found, vertex, partial(found.get, vertex))
            wanted = [parent in order for parent in vertex.parents]  # [] for a leaf
            if vertex in stop or not any(wanted):
                continue
            cotangents = vertex.pull(g, wanted, cls, create_graph)
            for parent, cotangent in zip(vertex.parents, cotangents):
                if cotangent is not None:
                    add(sums, parent, cotangent)
            if not (retain_graph or create_graph):
                vertex.free()
    for reducer in () if create_graph else reducers_of(order):
        reducer.ended(found)
    return found


def plan(starts, inputs, stop):
    """(order, inputs): the vertices on a path from starts to inputs, and the vertices to return.

    order has them as the keys of a dict, parents first; the walk visits them from last to first, so
    a leaf, whose gradient is then complete, right after the last of its users. inputs are the
    argument, or for None all leaves that were found. Raises GradError, before any rule is called,
    if saved values were freed or written to.
    """
    depths, stack, order = {}, list(starts), {}
    while stack:
        vertex = stack.pop()
        if vertex is not None and vertex.requires_grad and vertex not in depths:
            depths[vertex] = vertex.depth
            if vertex not in stop:
                stack.extend(vertex.parents)
    everything = inputs is None
    inputs = {v for v in depths if type(v) is Leaf} if everything else inputs
    for vertex in sorted(depths, key=depths.get):  # parents first: they are less deep
        if type(vertex) is Leaf and vertex not in starts:
            continue
        for p in vertex.parents:  # a leaf right before the least deep of its users
            if type(p) is Leaf and p in inputs and p in depths:
                order.setdefault(p)
        if everything or vertex in inputs or any(p in order for p in vertex.parents):
            order[vertex] = None
            if isinstance(vertex, Node) and vertex not in stop:
                vertex.check_usable()
    return order, inputs


def add(sums, vertex, g):
    """Add g to the sum of the cotangents that have reached vertex so far."""
    sums[vertex] = sums[vertex] + g if vertex in sums else g


def copied(g):
    """A copy of g, whose array a rule or another vertex may hold too."""
    return type(g)(g.data.copy(), g.node) if isinstance(g, Traced) else g.copy()
