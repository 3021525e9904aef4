"""The walk of `walk.py` in less time, for first-order gradients: equal to it bit for bit.

Three savings, each with its class or its few lines:
- sums in place: from the third cotangent of a vertex on, no new array (`Sums`);
- no copy of a leaf's gradient that an op declares to be new, and sums in place into it (`Leaves`);
- products of weights' gradients made by other threads while the walk goes on (`deferring`).

The safety of it: the walk writes only into arrays that it made itself, and into those of ops that
declare `returns_new`. What any other rule returns, somebody may hold.
"""

import os
from functools import cache

import numpy as np

from minigen.autodiff.graph import Leaf, Node, trace_observer
from minigen.autodiff.walk import own, plan, walk
from minigen.parallel.deferred import DEFERRABLE, deferring

MOST_WAITING = 8  # cotangents of leaves that wait to be added, at most: they take memory


def backprop(roots, inputs, cls, *, create_graph=False, **options):
    """The walk that runs: `walk` where the walk itself is recorded, watched or asked for."""
    plain = create_graph or trace_observer.get() is not None or _plain_is_asked_for()
    with np.errstate(all="ignore"):  # an infinite slope is an answer here, not worth a warning
        if plain:
            return walk(roots, inputs, cls, create_graph=create_graph, **options)
        return fast_walk(roots, inputs, cls, **options)


@cache
def _plain_is_asked_for():
    return os.environ.get("MINIGEN_WALK") == "plain"


def fast_walk(roots, inputs, cls, *, retain_graph=False, stop=()):
    """As `walk`, of raw cotangents."""
    order, inputs = plan([vertex for vertex, _ in roots], inputs, stop)
    found, sums = {}, Sums()
    with deferring() as deferred:
        leaves = Leaves(deferred)
        for vertex, g in roots:
            (leaves if type(vertex) is Leaf else sums).add(vertex, g)
        for vertex in reversed(order):
            g = sums.pop(vertex, None)
            if g is None:  # as all leaves: what flows into them is in `leaves`
                continue
            if vertex in inputs:
                found[vertex] = own(g)
            wanted = [
                p in order and (DEFERRABLE if type(p) is Leaf else True) for p in vertex.parents
            ]
            if vertex in stop or not any(wanted):
                continue
            if type(vertex) is Node:  # as its method pull does, with one call less
                parts = vertex.op.pull(g, vertex, wanted, cls, False)
            else:
                parts = vertex.pull(g, wanted, cls, False)
            for parent, part in zip(vertex.parents, parts):
                if part is not None:
                    if type(parent) is Leaf:
                        leaves.add(parent, part, vertex.op.returns_new)
                    else:
                        sums.add(parent, part)
            if not retain_graph:
                vertex.free()
        leaves.settle()
    found.update((leaf, g) for leaf, g in leaves.owned() if leaf in inputs)
    return found


class Sums(dict):
    """What has flowed into each vertex so far.

    The first cotangent is kept as it came, the second makes a new array, and to that the others
    are added in place: if they have its layout, for a sum of two has that of both.
    """

    def __init__(self):
        self.made = set()  # vertices whose sum is an array that was made here

    def add(self, vertex, g):
        if vertex not in self:
            self[vertex] = g
        elif vertex in self.made and _alike(self[vertex], g):
            self[vertex] += g
        else:
            self[vertex] = self[vertex] + g
            self.made.add(vertex)


def _alike(a, b):
    return type(a) is type(b) and getattr(a, "strides", None) == getattr(b, "strides", None)


class Leaves:
    """What has flowed into the leaves; their first cotangents may be filled later.

    Others wait in a short queue, in the order in which they came, until these are filled.
    """

    def __init__(self, deferred):
        self.deferred, self.sums, self.waiting = deferred, {}, []
        self.new = set()  # leaves whose sum is an array that nobody else holds

    def add(self, leaf, g, is_new=False):
        if leaf not in self.sums:
            self.sums[leaf] = g
            if is_new:
                self.new.add(leaf)
            return
        self.waiting.append((leaf, g))
        if len(self.waiting) == MOST_WAITING:
            self.settle()

    def settle(self):
        """Have all cotangents filled, and add those that wait."""
        self.deferred.finish()
        for leaf, g in self.waiting:
            if leaf in self.new:
                self.sums[leaf] += g
            else:
                self.sums[leaf] = self.sums[leaf] + g
                self.new.add(leaf)
        self.waiting.clear()

    def owned(self):
        """(leaf, gradient), each an array of its own, in C order as a copy is."""
        for leaf, g in self.sums.items():
            yield leaf, g if leaf in self.new and g.flags.c_contiguous else own(g)
