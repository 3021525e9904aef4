"""The kernels of `cpu/` against their references where numbers are infinite, NaN or large."""

import itertools
import math

import numpy as np
import pytest

from minigen.kernels import reference
from minigen.testing import assert_close
from minigen.testing.closeness import FORWARD, GRADIENT

cpu = pytest.importorskip("minigen.kernels.cpu")

VALUES = (math.nan, math.inf, -math.inf, 0.0, -0.0, 2.5, 1e4, -1e4)
ROWS = np.array(list(itertools.product(VALUES, repeat=3)))
BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def assert_twins(name, limits, *args):
    """Both kernels of that name agree, with NaN and infinities in the same places."""
    with np.errstate(all="ignore"):
        got, want = getattr(cpu, name)(*args), getattr(reference, name)(*args)
    pairs = zip(got, want) if isinstance(want, tuple) else [(got, want)]
    for y, w in pairs:
        assert_close(y, w, limits[w.dtype])


@BOTH_DTYPES
@pytest.mark.parametrize("name", ["erf", "sigmoid", "softplus", "gelu", "silu", "gelu_tanh"])
def test_elementwise(name, dtype):
    assert_twins(name, FORWARD, np.array(VALUES, dtype))


@BOTH_DTYPES
@pytest.mark.parametrize("name", ["gelu_vjp", "silu_vjp", "gelu_tanh_vjp"])
def test_slopes(name, dtype):
    x = np.array(VALUES, dtype)
    assert_twins(name, GRADIENT, np.full_like(x, 0.5), x)


@BOTH_DTYPES
def test_loss_with_logits(dtype):
    x, t = (z.reshape(-1) for z in np.meshgrid(np.array(VALUES, dtype), np.array([0.0, 0.5, 1.0])))
    t = t.astype(dtype)
    assert_twins("bce_with_logits", FORWARD, x, t)
    assert_twins("bce_with_logits_vjp", GRADIENT, np.full_like(x, 0.5), x, t)
    for i in range(len(x)):  # one by one: a sum of all is NaN
        assert_twins("bce_total", GRADIENT, x[i : i + 1], t[i : i + 1])


@BOTH_DTYPES
@pytest.mark.parametrize("wide", [3, 37])  # a few numbers, and more than the loops take at once
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name, wide, dtype):
    x = np.full((len(ROWS), wide), 0.5, dtype)
    x[:, -3:] = ROWS
    assert_twins(name, FORWARD, x, 1)


@BOTH_DTYPES
@pytest.mark.parametrize("wide", [3, 37])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(wide, smoothing, dtype):
    x = np.full((len(ROWS), wide), 0.5, dtype)
    x[:, -3:] = ROWS
    target = np.arange(len(x)) % (wide + 1) - 1
    assert_twins("cross_entropy", FORWARD, x, target, smoothing)
    with np.errstate(all="ignore"):
        _, lse = reference.cross_entropy(x, target, smoothing)
    g = np.full(len(x), 0.5, dtype)
    assert_twins("cross_entropy_vjp", GRADIENT, g, x, target, lse, smoothing)


@BOTH_DTYPES
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked, is_causal, dtype):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(5, n, 4)).astype(dtype) for n in (40, 50, 50))
    q[0, 3], k[1, 7], k[2, 45], q[3, :, 0] = math.nan, math.nan, math.inf, 1e4
    mask = rng.random((5, 40, 50)) < 0.5 if masked else None
    if masked:
        mask[:, 5] = False
    assert_twins("dot_attention", FORWARD, q, k, v, mask, None, is_causal, 0.5, 0.0)


@BOTH_DTYPES
@pytest.mark.parametrize("size", [100, 10_000])  # the sums of the longer rows have parts
def test_layer_norm_of_long_rows_and_large_means(size, dtype):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 70, size))
    weight, bias = rng.normal(size=(2, size))
    exact = [z.astype(dtype).astype(np.float64) for z in (x + 100, g, weight, bias)]
    x, g, weight, bias = (z.astype(dtype) for z in exact)
    limit = 4e-5 if dtype is np.float32 else 1e-12  # rounding of a mean of 100
    y, *statistics = cpu.layer_norm(x, weight, bias, 1e-5)
    want, *exact_statistics = reference.layer_norm(exact[0], *exact[2:], 1e-5)
    assert_close(y, want.astype(dtype), limit)
    got = cpu.layer_norm_vjp(g, x, weight, *statistics)
    for part, w in zip(
        got, reference.layer_norm_vjp(exact[1], exact[0], exact[2], *exact_statistics)
    ):
        assert_close(part, w.astype(dtype), limit)
