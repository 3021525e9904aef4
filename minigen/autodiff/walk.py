"""The walk back from outputs to leaves: the chain rule, vertex by vertex.

The cotangent of a vertex, g, is the gradient of the final output with respect to the value of that
vertex. A vertex that is used several times gets the sum of what flows back from its uses. So it
may be visited only after all that was computed from it. That is why the walk needs an order, and
depth gives one: a node is deeper than its parents.

For mean(tanh(x @ w)) the depths are 3, 2, 1, and 0 for the leaf w. The walk calls, in this order,

    mean     g / N, repeated                  the rule is in ops/reduce.py
    tanh     g * (1 - y * y)                  ops/elementwise.py
    matmul   sum_to(x.T @ g, w.shape)         ops/linalg.py

The rules are written with operators and ops, which take raw arrays as well as handles. So one
text serves twice. On raw arrays that of tanh is three calls of NumPy, and no graph. On handles
(create_graph) it makes nodes: y * y, whose parents are both the node of tanh, then 1 - that, then
g * that, and the matmul of these. A second walk, from the gradient, goes back through them to
tanh, where the two halves of y * y add up, and on to w. (`mg.grad` in gradients.py returns such a
gradient; `backward` adds it to `.grad`.)

Both call `backprop` of `fast_walk.py`. With create_graph it runs this walk, which is the
definition. Without, where cotangents are raw arrays, it runs a faster one, equal bit for bit.
"""

from contextlib import nullcontext

from minigen.autodiff.graph import Leaf, Node, Traced, grad_mode


def walk(roots, inputs, cls, *, retain_graph=False, create_graph=False, stop=()):
    """A dict of the cotangents of inputs (None: of every leaf), each in memory of its own.

    roots: (vertex, cotangent) pairs to start from, the cotangents raw arrays, or with create_graph
    handles of class cls. stop: vertices beyond which the walk does not look (`fused.py` has some).
    """
    order, inputs = plan([vertex for vertex, _ in roots], inputs, stop)
    sums, found = {}, {}
    for vertex, g in roots:
        add(sums, vertex, g)
    # Rules on handles are recorded, also where the user is in no_grad.
    with grad_mode(True) if create_graph else nullcontext():
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


def plan(starts, inputs, stop):
    """The vertices that lead from inputs to starts, parents first (the keys of a dict); and inputs.

    Raises GradError, before anything is computed, if one of them cannot be passed any more.
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
    for vertex in sorted(depths, key=depths.get):  # so it is known whether parents are in order
        if everything or vertex in inputs or any(p in order for p in vertex.parents):
            order[vertex] = None
            if isinstance(vertex, Node) and vertex not in stop:
                vertex.check_usable()
    return order, inputs


def add(sums, vertex, g):
    """Add g to what has flowed into vertex so far."""
    sums[vertex] = sums[vertex] + g if vertex in sums else g


def own(g):
    """g in memory of its own: a rule, or another vertex, may hold the same array."""
    return type(g)(g.data.copy(), g.node) if isinstance(g, Traced) else g.copy()
