"""The matrix products of each training step alone, in NumPy, one after the other.

Their time is a floor for the time of the step. A product (stack, m, k, n) is `stack` times
(m, k) @ (k, n). A step has no gradient for the input of the net, and the generator's step none for
the weights of the critic: these products are left out.
"""

from collections.abc import Callable

import numpy as np

Products = list[tuple[int, int, int, int]]


def set_threads(count: int) -> None:
    """Does nothing: `measuring.Child` has set NumPy's threads in the environment."""


def workload(products: Products) -> tuple[Callable[[], None], None]:
    """A step that computes the products of random operands into preallocated arrays."""
    rng, operands = np.random.default_rng(0), {}
    for stack, m, k, n in set(products):
        lead = () if stack == 1 else (stack,)
        a = rng.standard_normal((*lead, m, k), np.float32)
        b = rng.standard_normal((*lead, k, n), np.float32)
        operands[stack, m, k, n] = a, b, np.matmul(a, b)
    calls = [operands[product] for product in products]

    def step():
        for a, b, out in calls:
            np.matmul(a, b, out=out)

    return step, None


def dense(rows: int, inputs: int, outputs: int, to_x: bool = True, to_w: bool = True) -> Products:
    """y = x @ w.T, and the gradients of x and of w."""
    y, x = (1, rows, inputs, outputs), (1, rows, outputs, inputs)
    return [y, *[x] * to_x, *[(1, outputs, rows, inputs)] * to_w]


def vae(batch: int, hidden: int) -> tuple:
    encoder = dense(batch, 784, hidden, to_x=False)
    decoder = dense(batch, 20, hidden) + dense(batch, hidden, 784)
    return workload(encoder + 2 * dense(batch, hidden, 20) + decoder)


def gan(batch: int) -> tuple:
    generator = dense(batch, 100, 256, to_x=False)
    generator += dense(batch, 256, 512) + dense(batch, 512, 784)
    later = dense(batch, 512, 256) + dense(batch, 256, 1)
    critic = 2 * (dense(batch, 784, 512, to_x=False) + later)  # for real and for generated images
    layers = [(784, 512), (512, 256), (256, 1)]
    through_critic = [product for layer in layers for product in dense(batch, *layer, to_w=False)]
    return workload(generator + critic + through_critic)


def convolution(batch: int, inputs: int, filters: int, side: int, to_x: bool = True) -> Products:
    """A 3x3 convolution as products with the unfolded images, (9 * inputs, side * side) each."""
    depth, positions = 9 * inputs, side * side
    y, x = (batch, filters, depth, positions), (batch, depth, filters, positions)
    return [y, *[x] * to_x, (batch, filters, positions, depth)]


def cnn(batch: int, channels: int, side: int, widths: tuple[int, int]) -> tuple:
    first, second = widths
    products = convolution(batch, channels, first, side, to_x=False)
    products += convolution(batch, first, second, side // 2)
    return workload(products + dense(batch, second * (side // 4) ** 2, 128) + dense(batch, 128, 10))


def lstm(batch: int, hidden: int) -> tuple:
    steps, gates = 28, 4 * hidden
    products = dense(steps * batch, 28, gates, to_x=False)
    products += (steps - 1) * dense(batch, hidden, gates, to_w=False)  # the first state is 0
    products += [
        (1, gates, steps * batch, hidden)
    ]  # the gradient of weight_hh, for all steps at once
    return workload(products + dense(batch, hidden, 10))


def gpt(batch: int, block: int, layers: int, width: int, heads: int = 4) -> tuple:
    rows, stack, depth = batch * block, batch * heads, width // heads
    wide, narrow = (stack, block, depth, block), (stack, block, block, depth)
    attention = [wide, narrow, wide, narrow, narrow, narrow]  # scores, y; gradients of p, v, q, k
    layer = dense(rows, width, 3 * width) + attention + dense(rows, width, width)
    layer += dense(rows, width, 4 * width) + dense(rows, 4 * width, width)
    return workload(layers * layer + dense(rows, width, 65))


def tanh(batch: int) -> tuple:
    layers = dense(batch, 2, 16, to_x=False) + dense(batch, 16, 16) + dense(batch, 16, 1)
    return workload(layers)
