"""Matrix products."""

from minigen.backend.arrays import array_module


def matmul(a, b, out=None):
    return array_module(a).matmul(a, b, out=out)


def linear(x, weight, bias):
    y = x.dot(weight.T)
    if bias is None:
        return y
    if y.dtype != bias.dtype:
        return y + bias
    y += bias
    return y


def linear_vjp(g, x, weight, wanted, later):
    """Cotangents of x (N, D), weight (E, D) and bias (E,) for a cotangent g (N, E) of y.

    wanted: whether each is; None for one that is not. later: whether weight's may be made by the
    end of a block `deferred.deferring`, which then must be there.
    """
    of_x, of_weight, of_bias = wanted
    gx, gw = g.dot(weight) if of_x else None, g.T.dot(x) if of_weight else None
    return gx, gw, g.sum(axis=0) if of_bias else None
