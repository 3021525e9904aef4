"""Reducers: what gradients pass through where several processes train together."""

from minigen.autodiff.graph import Leaf


class Reducer:
    """What `Leaf.reducer` has: it replaces gradients by those of all processes that train together.

    It is told of leaves whose gradients are complete while the walk goes on, so that it can send
    some of them meanwhile. A walk under create_graph does not ask it.
    """

    def completed(self, found, leaf, gradient):
        """Called when the gradient of leaf is complete.

        gradient() is its array, which must not be written to, or None if there is none. It may be
        called later, but before the walk ends. found, the dict that `ended` will get, tells walks
        apart: one that an error has ended comes to no `ended`.
        """

    def ended(self, found):
        """Called when the walk ends, to put the gradients of its leaves into found, a dict."""


def reducers_of(order):
    """The reducers of the leaves in order, each once, in the order in which they are visited."""
    leaves = (v for v in reversed(order) if type(v) is Leaf and v.reducer is not None)
    return list(dict.fromkeys(leaf.reducer for leaf in leaves))
