"""The walk of `walk.py` in less time, for first-order gradients: equal to it bit for bit.

It saves time in three ways:
- From the third cotangent of a vertex on, sums are added in place, without a new array (`Sums`).
- If an op declares `returns_new`, its array becomes the gradient of a leaf without a copy, and
  further cotangents are added to it in place (`LeafSums`).
- Other threads compute products of weights' gradients while the walk goes on (`deferring`).

The walk writes only into arrays that it created itself and into arrays that ops with `returns_new`
returned. It never writes into what another rule returned: the rule, or the user, may hold it.
"""

from functools import cache, partial

import numpy as np

from minigen.autodiff.graph import Leaf, Node, trace_observer
from minigen.autodiff.reducers import reducers_of
from minigen.autodiff.walk import copied, plan, walk
from minigen.parallel.deferred import DEFERRABLE, deferring
from minigen.variables import choice

MAX_PENDING = 8  # cotangents of leaves that wait to be added: bounds the memory that they take


def backprop(roots, inputs, cls, *, create_graph=False, **options):
    """Run `default_walk`, or that of an observer."""
    observer = trace_observer.get()
    with np.errstate(all="ignore"):  # an infinite derivative is a result, so no warning
        if observer is not None:
            return observer.walked(roots, inputs, cls, create_graph=create_graph, **options)
        return default_walk(roots, inputs, cls, create_graph=create_graph, **options)


def default_walk(roots, inputs, cls, *, create_graph=False, deferring=deferring, **options):
    """Run `fast_walk`; or `walk` under create_graph or MINIGEN_WALK=plain."""
    if create_graph or _plain_walk_is_set():
        return walk(roots, inputs, cls, create_graph=create_graph, **options)
    return fast_walk(roots, inputs, cls, deferring=deferring, **options)


@cache
def _plain_walk_is_set():
    return choice("MINIGEN_WALK", ("plain",)) == "plain"


def fast_walk(roots, inputs, cls, *, retain_graph=False, stop=(), deferring=deferring):
    """As `walk`, on raw cotangents. deferring: the class of the block for deferred products."""
    order, inputs = plan([vertex for vertex, _ in roots], inputs, stop)
    found, sums = {}, Sums()
    with deferring() as deferred:
        leaf_sums = LeafSums(deferred)
        for vertex, g in roots:
            (leaf_sums if type(vertex) is Leaf else sums).add(vertex, g)
        for vertex in reversed(order):
            g = sums.pop(vertex, None)
            if g is None:  # so it is for every leaf: their cotangents are in leaf_sums
                if type(vertex) is Leaf and vertex.reducer is not None:
                    vertex.reducer.completed(found, vertex, partial(leaf_sums.complete, vertex))
                continue
            if vertex in inputs:
                found[vertex] = copied(g)
            # The cotangent of a leaf is not read before the walk ends, so it may be deferred.
            wanted = [
                p in order and (DEFERRABLE if type(p) is Leaf else True) for p in vertex.parents
            ]
            if vertex in stop or not any(wanted):
                continue
            if type(vertex) is Node:  # the body of its method pull, which saves a call
                cotangents = vertex.op.pull(g, vertex, wanted, cls, False)
            else:
                cotangents = vertex.pull(g, wanted, cls, False)
            for parent, cotangent in zip(vertex.parents, cotangents):
                if cotangent is not None:
                    if type(parent) is Leaf:
                        leaf_sums.add(parent, cotangent, vertex.op.returns_new)
                    else:
                        sums.add(parent, cotangent)
            if not retain_graph:
                vertex.free()
        leaf_sums.add_pending()
    found.update((leaf, g) for leaf, g in leaf_sums.gradients() if leaf in inputs)
    for reducer in reducers_of(order):
        reducer.ended(found)
    return found


class Sums(dict):
    """The sum of the cotangents that have reached each interior vertex so far.

    The first cotangent is kept as it is. Adding the second creates a new array. Further cotangents
    are added to that array in place, but only if they have its strides: otherwise the plain walk's
    a + b might have other strides than a.
    """

    def __init__(self):
        self.owned = set()  # vertices whose sum is an array that was created here

    def add(self, vertex, g):
        if vertex not in self:
            self[vertex] = g
        elif vertex in self.owned and _same_layout(self[vertex], g):
            self[vertex] += g
        else:
            self[vertex] = self[vertex] + g
            self.owned.add(vertex)


def _same_layout(a, b):
    return type(a) is type(b) and getattr(a, "strides", None) == getattr(b, "strides", None)


class LeafSums:
    """The sum of the cotangents that have reached each leaf so far.

    A cotangent of a leaf may be an array that other threads have yet to fill (`deferring`), so
    nothing can be added to it at once. Later cotangents of the leaf wait in a short queue, in the
    order of their arrival, until all arrays are filled.
    """

    def __init__(self, deferred):
        self.deferred, self.sums, self.pending = deferred, {}, []
        self.owned = set()  # leaves whose sum is an array that nothing else refers to

    def add(self, leaf, g, is_new=False):
        if leaf not in self.sums:
            self.sums[leaf] = g
            if is_new:
                self.owned.add(leaf)
            return
        self.pending.append((leaf, g))
        if len(self.pending) == MAX_PENDING:
            self.add_pending()

    def add_pending(self):
        """Finish the deferred products, then add the cotangents that wait."""
        self.deferred.finish()
        for leaf, g in self.pending:
            if leaf in self.owned:
                self.sums[leaf] += g
            else:
                self.sums[leaf] = self.sums[leaf] + g
                self.owned.add(leaf)
        self.pending.clear()

    def complete(self, leaf):
        """The gradient of leaf, or None; other references to it may exist."""
        self.add_pending()
        return self.sums.get(leaf)

    def gradients(self):
        """Pairs (leaf, gradient); nothing else refers to a gradient, and it is in C order.

        Those of leaves with a reducer are left out.
        """
        for leaf, g in self.sums.items():
            if leaf.reducer is None:
                yield leaf, g if leaf in self.owned and g.flags.c_contiguous else copied(g)
