"""The self-test of one device: a few ops, a gradient and random bits against plain NumPy."""

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from minigen import kernels, ops
from minigen.backend.devices import to_device
from minigen.gradients import grad
from minigen.kernels import reference
from minigen.tensors import Tensor
from minigen.testing.closeness import FLOAT32, FORWARD, GRADIENT, as_numpy, assert_close

SECONDS = 4.0  # no further check starts after this time; a compiled one takes less than a second


def _values(*shape: int) -> np.ndarray:
    """The same values in [-2, 2] each time, without a random generator."""
    return (2 * np.sin(1 + 1.7 * np.arange(math.prod(shape)))).reshape(shape)


X, W, B = _values(6, 5), _values(4, 5)[::-1], _values(4)
CLASSES = np.arange(6) % 4


def _gelu(x):
    return x * (0.5 + 0.5 * np.vectorize(math.erf)(x / math.sqrt(2)))


def _softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def _layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def _cross_entropy(x):
    return -np.log(_softmax(x)[np.arange(6), CLASSES]).mean()


FORWARDS = {  # name: the op, its formula in plain NumPy, arguments
    "linear": (ops.linear, lambda x, w, b: x @ w.T + b, (X, W, B)),
    "gelu": (ops.gelu, _gelu, (X,)),
    "softmax": (ops.softmax, _softmax, (X,)),
    "layer_norm": (lambda x: ops.layer_norm(x, 5), _layer_norm, (X,)),
    "cross_entropy": (lambda x: ops.cross_entropy(x, CLASSES), _cross_entropy, (X[:, :4],)),
}


def self_test(device: str, seconds: float = SECONDS) -> str:
    """Run the checks on a device. Returns one line of text; raises the first error.

    If kernels must be compiled first, the time may not suffice for all checks.
    """
    checks: list[tuple[str, Callable]] = [
        ("gradient", _gradient),
        ("random bits", _random_bits),
        *((name, partial(_forward, name)) for name in FORWARDS),
    ]
    start, done = time.perf_counter(), []
    for name, check in checks:
        if done and time.perf_counter() - start > seconds:
            break
        check(device)
        done.append(name)
    took = time.perf_counter() - start
    left = len(checks) - len(done)
    rest = f"; no time for {left} more, as kernels had to be compiled" if left else ""
    return f"passed in {took:.1f} s: {', '.join(done)}{rest}"


def _forward(name, device):
    op, formula, args = FORWARDS[name]
    want = np.asarray(formula(*args), np.float32)
    got = op(*(to_device(x.astype(np.float32), device) for x in args))
    assert_close(np.asarray(as_numpy(got), np.float32), want, 4 * FORWARD[FLOAT32], name)


def _gradient(device):
    inputs = [to_device(x.astype(np.float32), device) for x in (X, W, B)]
    tensors = [Tensor(x).requires_grad_() for x in inputs]
    loss = ops.cross_entropy(ops.linear(*tensors), CLASSES)
    g = (_softmax(X @ W.T + B) - np.eye(4)[CLASSES]) / len(X)
    for name, got, want in zip("xwb", grad(loss, tensors), (g @ W, g.T @ X, g.sum(0))):
        assert_close(got, want.astype(np.float32), GRADIENT[FLOAT32], f"gradient for {name}")


def _random_bits(device):
    got = kernels.philox(to_device(np.zeros(9, np.uint32), device), 1 << 40, 2)
    want = reference.philox(np.zeros(9, np.uint32), 1 << 40, 2)
    assert_close(got, want, name="random bits")
