"""Cases of softmax and of layer, batch and group norm, with the fused ops that they call."""

import math

import numpy as np

from minigen.testing.case import Case
from minigen.testing.choices import Choices


def softmax(x, axis=-1):
    e = np.exp(x)
    return e / e.sum(axis, keepdims=True)


def log_softmax(x, axis=-1):
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def _draw_softmax(c: Choices):
    shape = c.shape(min_dims=1)
    return (c.array(shape),), c.pick(({}, {"axis": c.axis(len(shape))}))


def _draw_softmax_vjp(logarithm):
    def draw(c):
        shape = c.shape(min_dims=1, min_side=1)
        axis = c.axis(len(shape))
        y = softmax(c.array(shape), axis)
        return (c.array(shape), np.log(y) if logarithm else y), {"axis": axis}

    return draw


def softmax_vjp(g, y, axis):
    return y * g - y * (y * g).sum(axis, keepdims=True)


def log_softmax_vjp(g, y, axis):
    return g - np.exp(y) * g.sum(axis, keepdims=True)


def spread_rows(c: Choices, count: int, size: int) -> np.ndarray:
    """(count, size) with rows whose standard deviation is not small, unless size is 1."""
    return np.array([c.distinct((size,)) for _ in range(count)]).reshape(count, size)


def _draw_layer_norm(c):
    normalized = c.shape(min_dims=1, max_dims=2, max_side=3, min_side=c.integer(0, 1))
    lead = c.shape(max_dims=2, max_side=3)
    rows = spread_rows(c, math.prod(lead), math.prod(normalized))
    params = [c.pick((None, c.array(normalized))) for _ in range(2)]
    shape = normalized[0] if len(normalized) == 1 and c.flag() else normalized
    # The variance of a single value is 0, so that y = x / sqrt(eps): an eps of 1e-5 would
    # multiply rounding by 316, at each order.
    options = {"eps": 1e-3} if math.prod(normalized) == 1 else c.pick(({}, {"eps": 1e-3}))
    return (rows.reshape(lead + normalized), shape, *params), options


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = tuple(range(x.ndim - np.size(normalized_shape), x.ndim))
    size = math.prod(x.shape[i] for i in axes)
    centred = x - x.sum(axes, keepdims=True) / np.float64(size)
    y = centred / np.sqrt((centred * centred).sum(axes, keepdims=True) / np.float64(size) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x, normalized_shape, weight=None, eps=None):
    axes = tuple(range(x.ndim - np.size(normalized_shape), x.ndim))
    size = math.prod(x.shape[i] for i in axes)
    eps = np.finfo(x.real.dtype).eps if eps is None else eps
    y = x / np.sqrt((x * x).sum(axes, keepdims=True) / np.float64(size) + eps)
    return y if weight is None else y * weight


def _draw_rms_norm(c):
    normalized = c.shape(min_dims=1, max_dims=2, max_side=3, min_side=c.integer(0, 1))
    x = c.array((*c.shape(max_dims=2, max_side=3), *normalized), 0.5, 2.0)
    options = {"eps": 1e-3} if math.prod(normalized) == 1 else c.pick(({}, {"eps": 1e-3}))
    shape = normalized[0] if len(normalized) == 1 and c.flag() else normalized
    return (x, shape, c.pick((None, c.array(normalized)))), options


def _draw_layer_norm_rows(c):
    count, size = c.integer(0, 4), c.integer(1, 6)
    params = [c.pick((None, c.array((size,)))) for _ in range(2)]
    return (spread_rows(c, count, size), *params), {"eps": 1e-5}


def layer_norm_rows(x, weight, bias, eps):
    return layer_norm(x, x.shape[1:], weight, bias, eps)


# ------------------------------------------------------------------------------- channels


def _normalized(x, axes, eps):
    """x with mean 0 and variance 1 over axes."""
    count = np.float64(np.prod([x.shape[i] for i in axes]))
    centred = x - x.sum(axes, keepdims=True) / count
    return centred / np.sqrt((centred * centred).sum(axes, keepdims=True) / count + eps)


def _affine(y, weight, bias):
    """weight * y + bias for each channel, axis 1."""
    rest = (1,) * (y.ndim - 2)
    y = y if weight is None else y * weight.reshape(-1, *rest)
    return y if bias is None else y + bias.reshape(-1, *rest)


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, **options):
    eps, axes = options.get("eps", 1e-5), (0, *range(2, x.ndim))
    if training:
        return _affine(_normalized(x, axes, eps), weight, bias)
    rest = (1,) * (x.ndim - 2)
    y = x - running_mean.reshape(-1, *rest)
    return _affine(y / np.sqrt(running_var.reshape(-1, *rest) + eps), weight, bias)


def batch_norm_core(x, weight, bias, running_mean, running_var, momentum, eps):
    return _affine(_normalized(x, (0, 2), eps), weight, bias)


def batch_norm_of_ranks(x, weight, bias, running_mean, running_var, part, momentum, eps):
    return _affine(_normalized(x, (0, 2), eps), weight, bias)


def sum_over_ranks(x, part):
    return x + 0


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    grouped = x.reshape(len(x), num_groups, x.shape[1] // num_groups, *x.shape[2:])
    axes = tuple(range(2, grouped.ndim))
    return _affine(_normalized(grouped, axes, eps).reshape(x.shape), weight, bias)


def _channels(c, N, C, rest):
    """x (N, C, *rest) whose channels have no small standard deviation."""
    rows = spread_rows(c, C, N * math.prod(rest))
    return np.moveaxis(rows.reshape(C, N, *rest), 0, 1).copy()


def _draw_batch_norm(c):
    N, C, rest = c.integer(2, 3), c.integer(1, 3), c.shape(max_dims=2, max_side=3, min_side=1)
    params = [c.pick((None, c.array((C,)))) for _ in range(2)]
    if c.flag():
        return (_channels(c, N, C, rest), None, None, *params), {"training": True, "eps": 1e-3}
    x = c.array((c.integer(0, N), C, *rest))
    return (x, c.array((C,)), c.array((C,), 0.5, 2.0), *params), c.pick(({}, {"eps": 1e-3}))


def _draw_batch_norm_core(c):
    C = c.integer(1, 3)
    x = _channels(c, c.integer(2, 3), C, (c.integer(1, 4),))
    params = [c.pick((None, c.array((C,)))) for _ in range(2)]
    return (x, *params, None, None), {"momentum": 0.1, "eps": 1e-5}


def _draw_batch_norm_of_ranks(c):
    arguments, options = _draw_batch_norm_core(c)
    return arguments, options | {"part": 1.0}


def _draw_sum_over_ranks(c):
    return (c.array(c.shape()),), {"part": 1.0}


def _draw_group_norm(c):
    groups, each, N = c.integer(1, 2), c.integer(1, 2), c.integer(0, 2)
    rest = c.shape(max_dims=2, max_side=3, min_side=1)
    rows = spread_rows(c, N * groups, each * math.prod(rest))
    params = [c.pick((None, c.array((groups * each,)))) for _ in range(2)]
    return (rows.reshape(N, groups * each, *rest), groups, *params), {"eps": 1e-3}


NEURAL = {
    "softmax": Case(softmax, _draw_softmax, order=3),
    "log_softmax": Case(log_softmax, _draw_softmax),
    "softmax_vjp": Case(softmax_vjp, _draw_softmax_vjp(False)),
    "log_softmax_vjp": Case(log_softmax_vjp, _draw_softmax_vjp(True)),
    "layer_norm": Case(layer_norm, _draw_layer_norm, order=3),
    "_layer_norm": Case(layer_norm_rows, _draw_layer_norm_rows),
    "rms_norm": Case(rms_norm, _draw_rms_norm),
    "batch_norm": Case(batch_norm, _draw_batch_norm),
    "_batch_norm": Case(batch_norm_core, _draw_batch_norm_core),
    "batch_norm_of_ranks": Case(batch_norm_of_ranks, _draw_batch_norm_of_ranks),
    "sum_over_ranks": Case(sum_over_ranks, _draw_sum_over_ranks),
    "group_norm": Case(group_norm, _draw_group_norm),
}
