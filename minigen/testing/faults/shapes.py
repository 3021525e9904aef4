"""Mistakes in the rules of ops that move values: shapes, joins, indexing, reductions, products."""

import numpy as np

from minigen import ops
from minigen.autodiff.primitives import raw
from minigen.ops.reduce import spread
from minigen.testing import causes
from minigen.testing.faults.planting import instead, rule_fault


def overwritten(g, y, x, index):
    """The gradient of x[index], where duplicates overwrite each other instead of adding up."""
    gradient = np.zeros(x.shape, x.dtype)
    gradient[index] = raw(g)
    return gradient


def transposed(x):
    """x with its last two axes exchanged where that keeps its shape, or else x."""
    return ops.swapaxes(x, -1, -2) if x.ndim > 1 and x.shape[-1] == x.shape[-2] else x


FAULTS = (
    rule_fault(
        *("a mean for the sum that undoes a broadcast", "broadcast_to", 0, causes.BROADCAST),
        lambda right: (
            lambda g, y, x, **static: (
                right(g, y, x, **static) * (max(1, np.prod(x.shape)) / max(1, g.size))
            )
        ),
    ),
    rule_fault(
        *("an order of axes for its inverse", "transpose", 0, causes.TRANSPOSED),
        instead(lambda g, y, x, axes: ops.transpose(g, axes)),
    ),
    rule_fault(
        *("off by one", "_concatenate", 0, causes.MOVED),
        lambda right: lambda g, y, i, *xs, axis: ops.roll(right(g, y, i, *xs, axis=axis), 1, axis),
        public_op="concatenate",
    ),
    rule_fault(
        *("duplicates overwritten", "_getitem", 0, causes.VALUES),
        instead(overwritten),
        public_op="getitem",
    ),
    rule_fault(
        *("a wrong axis", "sum", 0, causes.MOVED),
        instead(lambda g, y, x, axis, keepdims: ops.flip(spread(g, x, axis))),
    ),
    rule_fault(
        *("a sum that runs the wrong way", "cumsum", 0, causes.VALUES),
        instead(lambda g, y, x, axis: ops.cumsum(g, axis)),
    ),
    rule_fault(
        *("no mean in a variance", "var", 0, causes.FACTOR),
        lambda right: lambda g, y, x, **static: right(g, y, x, **static) * 2.0,
    ),
    rule_fault(
        *("swapped factors of a matrix product", "_matmul", 0, causes.TRANSPOSED),
        lambda right: lambda g, y, a, b: right(g, y, a, transposed(b)),
        public_op="matmul",
    ),
    rule_fault(
        *("a matrix product with its gradient transposed", "_matmul", 1, causes.TRANSPOSED),
        lambda right: lambda g, y, a, b: transposed(right(g, y, a, b)),
        public_op="matmul",
    ),
)
