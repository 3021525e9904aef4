"""Mistakes that show only at ties, where minigen splits the gradient evenly (max, maximum)."""

import numpy as np

from minigen.autodiff.primitives import raw
from minigen.testing import causes
from minigen.testing.faults.elementwise import fitted
from minigen.testing.faults.planting import PlantedFault, instead, rule_fault

TIED = np.array([1.0, 3.0, -2.0, 3.0])
TIED_PAIR = TIED, TIED + [0, 1, 0, -1]


def one_of_the_largest(k):
    """The whole gradient to the k-th of the largest values instead of an even split."""

    def change(right):
        def rule(g, y, x, axis, keepdims):
            largest = raw(x) == raw(y)
            gradient = np.zeros(x.shape)
            gradient.flat[np.flatnonzero(largest)[k]] = np.sum(raw(g))
            return gradient

        return rule

    return change


def where_true(chosen):
    """The whole gradient to a where chosen(a, b) instead of one half to each at a tie."""
    return instead(lambda g, y, a, b: fitted(g * chosen(raw(a), raw(b)), a))


def _tie_fault(mistake, op, change, *at) -> PlantedFault:
    return rule_fault(mistake, op, 0, causes.KINK, change, at=at)


FAULTS = (
    _tie_fault("the first of a tie, not an even split", "max", one_of_the_largest(0), TIED),
    _tie_fault("the last of a tie, not an even split", "max", one_of_the_largest(-1), TIED),
    _tie_fault("the first of the least, not an even split", "min", one_of_the_largest(0), -TIED),
    _tie_fault("all of a tie to one argument", "maximum", where_true(np.greater_equal), *TIED_PAIR),
    _tie_fault("nothing of a tie to one argument", "minimum", where_true(np.less), *TIED_PAIR),
)
