"""The graph of a tensor in plain numbers and words, for a drawing of it."""

from minigen.autodiff.graph import NOT_SAVED, Leaf, Output, Vertex

MAX_VERTICES = 200


def outline(
    vertex: Vertex | None, limit: int = MAX_VERTICES
) -> tuple[list[tuple[str, str]], list[tuple[int, int]], int]:
    """(nodes, edges, number of further nodes that are left out) of what a vertex was computed from.

    A node is (name of the op, or "leaf"; shape of its result where the graph has it), an edge is
    (number of an argument, number of a result). Of a large graph the latest nodes are there.
    """
    if isinstance(vertex, Output):
        vertex = vertex.parents[0]
    found: dict[int, Vertex] = {}
    stack = [] if vertex is None else [vertex]
    while stack:
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            stack += _arguments(node)
    latest = sorted(found.values(), key=lambda node: -node.depth)[:limit]
    numbers = {id(node): i for i, node in enumerate(reversed(latest))}
    shapes = {}
    for node in latest:
        for parent, x in zip(node.parents, getattr(node, "args", None) or ()):
            if parent is not None and not isinstance(parent, Output):
                shapes[id(parent)] = x.shape
        if (y := getattr(node, "y", NOT_SAVED)) is not NOT_SAVED and hasattr(y, "shape"):
            shapes[id(node)] = y.shape
    nodes = []
    for node in reversed(latest):
        name = node.op.name if node.op else "leaf" if isinstance(node, Leaf) else "constant"
        shape = shapes.get(id(node))
        nodes.append((name, "" if shape is None else str(tuple(shape))))
    edges = {
        (numbers[id(argument)], numbers[id(node)])
        for node in latest
        for argument in _arguments(node)
        if id(argument) in numbers
    }
    return nodes, sorted(edges), len(found) - len(latest)


def _arguments(node: Vertex) -> list[Vertex]:
    """The nodes and leaves that a node has as arguments; outputs stand for their node."""
    parents = [p for p in node.parents if p is not None]
    return [p.parents[0] if isinstance(p, Output) else p for p in parents]
