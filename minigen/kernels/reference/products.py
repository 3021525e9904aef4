"""Matrix products."""

from minigen.backend import array_module


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
