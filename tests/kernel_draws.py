"""The arguments that each kernel is tested with, drawn from `Choices`."""

import numpy as np
from kernel_draws_images import IMAGE_DRAWS
from kernel_draws_recurrent import RECURRENT_DRAWS, RECURRENT_WRITTEN, rows_and_columns

from minigen.kernels import reference
from minigen.testing.cases_attention import draw_core
from minigen.testing.cases_neural import softmax, spread_rows


def any_shape(c):
    return c.pick(((), (0,), (1,), c.shape()))


def with_axis(c):
    shape = c.pick(((1,), (0, 3), (3, 0), c.shape(min_dims=1), (2, 300), (2, 40, 3)))
    axis = c.integer(0, len(shape) - 1)
    return (shape, axis) if shape[axis] else ((*shape[:axis], 1, *shape[axis + 1 :]), axis)


def draw_matmul(c):
    m, k, n = c.pick(
        (
            *((200, 130, 210), (90, 190, 340), (40, 1100, 130), (210, 300, 28)),
            [c.integer(0, 5) for _ in range(3)],
        )
    )
    lead = c.pick(((), (), (2,), (2, 1)))  # some are large enough to be cut in pieces
    return [c.array((*lead, m, k)), c.array((*c.narrowed(lead), k, n))]


def draw_linear(c):
    x, weight = c.pick(
        (
            ((200, 130), (210, 130)),
            ((90, 130), (500, 130)),
            ((300, 28), (210, 28)),
            ((3, 2), (4, 2)),
        )
    )
    return [c.array(x), c.array(weight), c.pick((None, c.array(weight[:1])))]


def draw_linear_vjp(c):
    x, weight, _ = draw_linear(c)
    wanted = c.pick(((True, True, True), (True, False, False), (False, True, True)))
    return [c.array((len(x), len(weight))), x, weight, wanted, False]


def draw_philox(c):
    seed, start = c.rng.integers(0, 2**64, dtype=np.uint64), c.pick((0, 1, 2, 3, 5, 2**34 + 1))
    return [np.empty(c.integer(0, 40), np.uint32), int(seed), start]


def draw_uniform(c):
    _, seed, start = draw_philox(c)
    return [np.zeros(c.pick((c.shape(), (), (700,)))), seed, start]


def draw_bernoulli(c):
    out, seed, start = draw_uniform(c)
    return [out.astype(bool), c.pick((0.0, 0.3, 1.0)), seed, start]


def draw_scatter_rows(c):
    n, d = c.integer(1, 4), c.integer(0, 3)
    index = c.integer_array((c.integer(0, 6),), 0, n)
    return [c.array((n, d)), index, c.array((len(index), d))]


def draw_softmax(c):
    shape, axis = with_axis(c)
    return [c.array(shape), axis]


def draw_softmax_vjp(c):
    shape, axis = with_axis(c)
    return [c.array(shape), softmax(c.array(shape), axis), axis]


def draw_log_softmax_vjp(c):
    g, y, axis = draw_softmax_vjp(c)
    return [g, np.log(y), axis]


def some_rows(c):
    """Few of them, long ones and many: those are shared by more threads."""
    return c.pick((rows_and_columns(c), rows_and_columns(c), (2, 300), (600, 3)))


def draw_layer_norm(c):
    m, n = some_rows(c)
    params = [c.pick((None, c.array((n,)))) for _ in range(2)]
    return [spread_rows(c, m, n), *params, 1e-5]


def draw_layer_norm_vjp(c):
    x, weight, bias, eps = draw_layer_norm(c)
    _, mean, rstd = reference.layer_norm(x, weight, bias, eps)
    return [c.array(x.shape), x, weight, mean, rstd]


def draw_cross_entropy(c):
    m, n = some_rows(c)
    return [c.array((m, n)), c.integer_array((m,), -1, n), c.pick((0.0, 0.1))]


def draw_cross_entropy_vjp(c):
    x, target, smoothing = draw_cross_entropy(c)
    _, lse = reference.cross_entropy(x, target, smoothing)
    return [c.array((len(x),)), x, target, lse, smoothing]


def draw_attention(c):
    (q, k, v, mask, kept), static = draw_core(c)
    if c.integer(0, 4) == 0:  # more than a block of a GPU takes at once
        q, k, v = c.array((70, 9), -1.0, 1.0), c.array((67, 9), -1.0, 1.0), c.array((67, 33))
        mask, kept = (x if x is None else c.mask((70, 67)) for x in (mask, kept))
    return [q, k, v, mask, kept, *static.values()]


def draw_attention_vjp(c):
    q, k, v, mask, kept, *static = draw_attention(c)
    y, p = reference.dot_attention(q, k, v, mask, kept, *static)
    return [c.array(y.shape), q, k, v, p, kept, *static]


def draw_relu(c):
    x = c.array(c.pick(((), (0,), (5, 1), (64, 40))))  # small ones and those worth a loop
    return [np.where(c.rng.random(x.shape) < 0.1, np.nan, x)]


def draw_relu_vjp(c):
    (y,) = draw_relu(c)
    return [c.array(y.shape), np.maximum(y, 0)]


def draw_leaky_relu(c):
    return [*draw_relu(c), c.pick((0.01, 0.3))]


def draw_leaky_relu_vjp(c):
    x, slope = draw_leaky_relu(c)
    return [c.array(x.shape), x, slope]


def draw_sum_over(c):
    """Sums of few and of many terms, over each group of axes; the last are cut in pieces."""
    shapes = (0, 3), (5, 0), (4, 7), (65, 70), (600, 3), (3, 200, 2), (200, 3, 200), (500, 900)
    shape = c.pick((c.shape(), *shapes))
    axes = tuple(i for i in range(len(shape)) if c.integer(0, 1))
    return [c.array(shape), axes, c.pick((False, True))]


def draw_select(c):
    shape = c.pick(((), (0,), (5, 1), (64, 40), (3000,)))  # small ones and those worth a loop
    sides = [c.array(shape), c.array(c.narrowed(shape)), 0.5, c.array(shape)]
    return [c.mask(shape), c.pick(sides), c.pick(sides)]


def draw_unary(c):
    return [c.array(any_shape(c), -7.0, 7.0)]


def draw_unary_vjp(c):
    shape = any_shape(c)
    return [c.array(shape), c.array(shape, -3.0, 3.0)]


def draw_bce(c):
    shape = any_shape(c)
    return [c.array(shape), c.array(c.pick((shape, c.narrowed(shape))), 0.0, 1.0)]


def draw_bce_vjp(c):
    shape = any_shape(c)
    return [c.array(shape), c.array(shape), c.array(shape, 0.0, 1.0)]


DRAWS = {
    **IMAGE_DRAWS,
    **RECURRENT_DRAWS,
    "matmul": draw_matmul,
    "linear": draw_linear,
    "linear_vjp": draw_linear_vjp,
    "philox": draw_philox,
    "uniform": draw_uniform,
    "bernoulli": draw_bernoulli,
    "erf": draw_unary,
    "sigmoid": draw_unary,
    "softplus": draw_unary,
    "gelu": draw_unary,
    "gelu_vjp": draw_unary_vjp,
    "silu": draw_unary,
    "silu_vjp": draw_unary_vjp,
    "gelu_tanh": draw_unary,
    "gelu_tanh_vjp": draw_unary_vjp,
    "bce_with_logits": draw_bce,
    "bce_with_logits_vjp": draw_bce_vjp,
    "bce_total": draw_bce,
    "scatter_rows": draw_scatter_rows,
    "sum_over": draw_sum_over,
    "relu": draw_relu,
    "tanh": draw_relu,
    "relu_vjp": draw_relu_vjp,
    "leaky_relu": draw_leaky_relu,
    "leaky_relu_vjp": draw_leaky_relu_vjp,
    "select": draw_select,
    "softmax": draw_softmax,
    "softmax_vjp": draw_softmax_vjp,
    "log_softmax": draw_softmax,
    "log_softmax_vjp": draw_log_softmax_vjp,
    "layer_norm": draw_layer_norm,
    "layer_norm_vjp": draw_layer_norm_vjp,
    "cross_entropy": draw_cross_entropy,
    "cross_entropy_vjp": draw_cross_entropy_vjp,
    "dot_attention": draw_attention,
    "dot_attention_vjp": draw_attention_vjp,
}
WRITTEN = {  # the arguments that a kernel writes to, by their place
    **RECURRENT_WRITTEN,
    "philox": (0,),
    "uniform": (0,),
    "bernoulli": (0,),
    "scatter_rows": (0,),
}


def cast(x, dtype):
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def outputs(kernel, args, written):
    """All that a kernel returns and writes, lists of arrays one by one."""
    found = [kernel(*args), *(args[i] for i in written)]
    return [y for x in found for y in (x if isinstance(x, list | tuple) else [x]) if y is not None]
