"""The walk back from outputs to leaves: the chain rule, vertex by vertex.

The cotangent of a vertex, g, is the gradient of the final output by its value. A vertex that is
used several times gets the sum of what flows back from its uses. So a vertex may be visited only
after all that was computed from it: that is why the walk needs an order, and depth gives one.

The rules of an op are written with operators and ops, which take raw arrays as well as handles.
So one text serves twice: given raw arrays a rule returns a raw gradient and no graph; given
handles (create_graph) the gradient is itself a graph, to be differentiated again.

This walk is the definition. `fast_walk.py` is what runs by default: the same bits in less time.
"""

from minigen.autodiff.graph import Leaf, Node, grad_mode


def walk(roots, inputs, cls, *, retain_graph=False, create_graph=False, stop=()):
    """The cotangents of inputs (None: of every leaf), each an array of its own; by vertex.

    roots pairs the vertices to start from with their cotangents: raw arrays, or with create_graph
    handles of class cls. Nothing beyond the vertices in stop is looked at.
    """
    order, inputs = plan([vertex for vertex, _ in roots], inputs, stop)
    sums, found = {}, {}
    for vertex, g in roots:
        add(sums, vertex, g)
    with grad_mode(create_graph):
        for vertex in reversed(order):
            g = sums.pop(vertex, None)
            if g is None:  # nothing has flowed here
                continue
            if vertex in inputs:
                found[vertex] = own(g)
            wanted = [parent in order for parent in vertex.parents]
            if vertex in stop or not any(wanted):
                continue
            parts = vertex.pull(g, wanted, cls, create_graph)
            for parent, part in zip(vertex.parents, parts):
                if part is not None:
                    add(sums, parent, part)
            if not (retain_graph or create_graph):
                vertex.free()
    return found


def plan(roots, inputs, stop):
    """The vertices that lead from inputs to roots, parents first, as a dict; and the inputs.

    Raises GradError, before anything is computed, if one of them cannot be passed any more.
    """
    depths, stack, order = {}, list(roots), {}
    while stack:
        vertex = stack.pop()
        if vertex is not None and vertex.requires_grad and vertex not in depths:
            depths[vertex] = vertex.depth
            if vertex not in stop:
                stack.extend(vertex.parents)
    everything = inputs is None
    inputs = {v for v in depths if type(v) is Leaf} if everything else inputs
    for vertex in sorted(depths, key=depths.get):
        if everything or vertex in inputs or not order.keys().isdisjoint(vertex.parents):
            order[vertex] = None
            if type(vertex) is Node and vertex not in stop:
                vertex.check_usable()
    return order, inputs


def add(sums, vertex, g):
    """Add g to what has flowed into vertex so far."""
    sums[vertex] = sums[vertex] + g if vertex in sums else g


def own(g):
    """g in memory of its own: a rule, or another vertex, may hold the same array."""
    return type(g)(g.data.copy(), g.node) if hasattr(g, "node") else g.copy()
