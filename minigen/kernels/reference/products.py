"""Matrix products, and the linear layer with its VJP."""

from minigen.backend.arrays import array_module


def matmul(a, b, out=None):
    """a @ b (..., M, N), for a (..., M, K) and b (..., K, N); written to out where there is one."""
    return array_module(a).matmul(a, b, out=out)


def linear(x, weight, bias):
    """x weight^T + bias (N, E), for x (N, D), weight (E, D) and bias (E,) or None."""
    y = x.dot(weight.T)
    if bias is None:
        return y
    if y.dtype != bias.dtype:
        return y + bias
    y += bias
    return y


def linear_vjp(g, x, weight, wanted, may_defer):
    """Cotangents of x (N, D), weight (E, D) and bias (E,) for the cotangent g (N, E) of y.

        gx = g weight        (N, D)
        gweight = g^T x      (E, D)
        gbias = sum_n g      (E,)

    wanted: three truth values; None is returned for a cotangent that is not wanted. may_defer:
    whether the product g^T x may be computed later, at the latest when the `deferring` block of
    `parallel.deferred` ends, in which the call then must be. Only `cpu/` makes use of it.
    """
    x_wanted, weight_wanted, bias_wanted = wanted
    gx, gw = g.dot(weight) if x_wanted else None, g.T.dot(x) if weight_wanted else None
    return gx, gw, g.sum(axis=0) if bias_wanted else None
