"""The walk back from outputs to leaves: the chain rule, vertex by vertex.

The cotangent of a vertex, g, is the gradient of the final output with respect to the value of that
vertex. A vertex that is used several times gets the sum of what flows back from its uses. So it
may be visited only after all that was computed from it. That is why the walk needs an order, and
depth gives one: a node is deeper than its parents.

For mean(tanh(x @ w)) the depths are 3, 2, 1, and 0 for the leaf w. The walk calls, in this order,

    mean     g / N, repeated                  the rule is in ops/reduce.py
    tanh     g * (1 - y * y)                  ops/elementwise.py
    matmul   x.T @ g                          ops/linalg.py

The rules are written with operators and ops, which take raw arrays or handles. So the same rules
serve every order. `Primitive.cotangents` calls them with the raw saved values, and no graph is
made. With create_graph it calls them with the same values as handles, and the ops in them record
nodes (depths in brackets) as all ops do:

    mean     g / N is made from a constant, the 1 that the walk starts with: no node; call it c
    tanh     y * y (3; both parents are the node of tanh), 1 - that (4), c * that (5)
    matmul   x.T @ that (6): the gradient of w

A second walk starts from that gradient, with a cotangent of its shape or from a sum of it. It goes
through 6, 5, 4 and 3. The two rules of y * y give a cotangent each, both for tanh, where they are
added. Then it goes through tanh and matmul to w. (mean is not on the way: c is a constant.)

    Tensor.backward, which adds to `.grad`, and mg.grad, of gradients.py, call
    backprop, of fast_walk.py, which calls
        walk, below, on handles, with create_graph; else
        fast_walk, on raw arrays: the same steps in less time, with the same bits. They call
    Node.pull, Op.pull, which checks the parts, Primitive.cotangents, and that the rules.
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
            wanted = [parent in order for parent in vertex.parents]  # [] for a leaf
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
    """(order, inputs). order: the vertices on a path from inputs to starts, parents first, as the
    keys of a dict. inputs: as given, or for None every leaf that was found.

    Raises GradError, before anything is computed, if saved values were freed or written to.
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
    for vertex in sorted(depths, key=depths.get):  # parents are less deep, and come before
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
