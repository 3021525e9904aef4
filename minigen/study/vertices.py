"""Which result of which node a vertex is: a node with one result, or an `Output` of another."""

from typing import Any

from minigen.autodiff.graph import Output


def node_and_index(vertex: Any) -> tuple[Any, int]:
    """The node of the call with that result, and its index; or another vertex, and 0."""
    return (vertex.parents[0], vertex.index) if isinstance(vertex, Output) else (vertex, 0)


def key_of(vertex: Any) -> tuple[int, int]:
    """What stands for a vertex in a dict, while a walk runs: a node may have several `Output`s."""
    node, index = node_and_index(vertex)
    return id(node), index
