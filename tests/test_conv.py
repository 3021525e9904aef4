"""Convolution against loops and scipy (property 21), its adjoints (22), edges and bad input."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

import minigen as mg
from minigen import kernels
from minigen.errors import DTypeError, ShapeError
from minigen.kernels import reference
from minigen.testing import assert_close, gradcheck

sides = st.integers(1, 3)
pairs = st.one_of(sides, st.tuples(sides, sides))
rng = np.random.default_rng(0)


def both(setting):
    return setting if isinstance(setting, tuple) else (setting, setting)


def seven_loops(x, w, stride, padding, dilation, groups):
    """The definition, a number at a time."""
    (s, t), (p, q), (d, e) = map(both, (stride, padding, dilation))
    (N, _, H, W), (F, D, kh, kw) = x.shape, w.shape
    OH, OW = (H + 2 * p - d * (kh - 1) - 1) // s + 1, (W + 2 * q - e * (kw - 1) - 1) // t + 1
    y = np.zeros((N, F, OH, OW))
    for n, f, u, v, c, i, j in product(*map(range, (N, F, OH, OW, D, kh, kw))):
        row, column = u * s + i * d - p, v * t + j * e - q
        if 0 <= row < H and 0 <= column < W:
            y[n, f, u, v] += w[f, c, i, j] * x[n, f // (F // groups) * D + c, row, column]
    return y


@st.composite
def convolutions(draw):
    """x, w and settings with which a window finds room."""
    groups, size = draw(sides), (draw(sides), draw(sides))
    stride, dilation = draw(pairs), draw(pairs)
    padding = draw(st.one_of(st.integers(0, 2), st.tuples(st.integers(0, 2), st.integers(0, 2))))
    lines = zip(size, both(dilation), both(padding))
    room = [max(d * (k - 1) + 1 - 2 * p, 1) + draw(st.integers(0, 3)) for k, d, p in lines]
    C, F = draw(sides), draw(sides)
    x = rng.standard_normal((draw(st.integers(0, 3)), groups * C, *room))
    w = rng.standard_normal((groups * F, C, *size))
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, w, settings


@given(convolutions())
def test_conv2d_equals_seven_loops(drawn):
    x, w, settings = drawn
    assert_close(mg.conv2d(x, w, **settings), seven_loops(x, w, **settings))


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4))
def test_conv2d_is_scipys_correlation(h, w, kh, kw):
    x, kernel = rng.standard_normal((h + kh, w + kw)), rng.standard_normal((kh, kw))
    y = mg.conv2d(x[None, None], kernel[None, None])[0, 0]
    assert_close(y, signal.correlate2d(x, kernel, "valid"))
    full = mg.conv_transpose2d(x[None, None], kernel[None, None])[0, 0]
    assert_close(full, signal.convolve2d(x, kernel, "full"))


@given(convolutions())
def test_conv_transpose2d_is_the_adjoint_of_conv2d(drawn):
    """<conv(x), y> = <x, conv_transpose(y)>, whatever remainder the stride leaves."""
    x, w, settings = drawn
    y = rng.standard_normal(mg.conv2d(x, w, **settings).shape)
    back = zip(y.shape[2:], w.shape[2:], *map(both, list(settings.values())[:3]))
    smallest = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in back]
    extra = tuple(n - m for n, m in zip(x.shape[2:], smallest))
    found = mg.conv_transpose2d(y, w, output_padding=extra, **settings)
    assert found.shape == x.shape
    left, right = (mg.conv2d(x, w, **settings) * y).sum(), (x * found).sum()
    assert_close(left, right, 1e-12)


@given(convolutions())
def test_the_gradient_of_conv2d_in_x_is_conv_transpose2d(drawn):
    x, w, settings = drawn
    x = mg.tensor(x, requires_grad=True)
    y = mg.conv2d(x, w, **settings)
    g = rng.standard_normal(y.shape)
    back = zip(y.shape[2:], w.shape[2:], *map(both, list(settings.values())[:3]))
    smallest = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in back]
    extra = tuple(n - m for n, m in zip(x.shape[2:], smallest))
    assert_close(mg.grad(y, x, g), mg.conv_transpose2d(g, w, output_padding=extra, **settings))


def test_conv1d_is_conv2d_one_row_high():
    x, w, b = (rng.standard_normal(shape) for shape in ((2, 4, 9), (6, 2, 3), (6,)))
    y = mg.conv2d(x[:, :, None], w[:, :, None], b, (1, 2), (0, 1), (1, 2), 2)
    assert_close(mg.conv1d(x, w, b, 2, 1, 2, 2), y[:, :, 0])


@pytest.mark.parametrize("columns", [True, False])
def test_a_1x1_convolution_is_a_dense_layer_at_each_place_and_makes_no_columns(
    columns, monkeypatch
):
    if not columns:
        for name in ("convolve", "convolve_transpose", "convolve_weight"):
            monkeypatch.setattr(kernels, name, getattr(reference, name))
        for name in ("im2col", "col2im"):
            monkeypatch.setattr(reference.convolution, name, None)
    x, w = (mg.tensor(rng.standard_normal(s), requires_grad=True) for s in ((2, 3, 4, 5), (6, 3)))
    one = mg.conv2d(x, w.reshape((6, 3, 1, 1)))
    other = mg.linear(x.transpose((0, 2, 3, 1)), w).transpose((0, 3, 1, 2))
    g = rng.standard_normal(one.shape)
    assert_close(one, other.data)
    for got, want in zip(mg.grad(one, [x, w], g), mg.grad(other, [x, w], g)):
        assert_close(got, want.data)


def test_convolution_has_derivatives_of_every_order():
    """The fourth derivative of (x * w)^4 along x and w, each product's rule being the others."""
    x, w = rng.standard_normal((1, 2, 4, 3)), rng.standard_normal((2, 2, 2, 2))
    gradcheck(lambda x, w: mg.conv2d(x, w, stride=2, padding=1) ** 4, [x, w], order=3)


HOW = (2, 1), (1, 1), (1, 1), 2  # stride, padding, dilation, groups


def test_large_batches_are_cut_into_blocks_that_change_nothing(monkeypatch):
    x, w = rng.standard_normal((5, 4, 6, 5)), rng.standard_normal((6, 2, 3, 3))
    cpu = pytest.importorskip("minigen.kernels.cpu.convolution")

    def all_three(kernels):
        y = kernels.convolve(x, w, None, *HOW)
        back = kernels.convolve_transpose(y, w, None, (6, 5), *HOW)
        return y, back, kernels.convolve_weight(y, x, (3, 3), *HOW)

    want = all_three(reference)
    for block in (1, 600):
        monkeypatch.setattr(reference.convolution, "BLOCK", block)
        monkeypatch.setattr(cpu, "OUTPUTS_PER_BLOCK", block // 50)
        for got, expected in zip((*all_three(reference), *all_three(cpu)), (*want, *want)):
            assert_close(got, expected)


def test_columns_are_not_kept_for_the_backward_pass():
    """A 5x5 window's columns are 25 times its images."""
    x = mg.Tensor(np.ones((16, 8, 32, 32), np.float32)).requires_grad_()
    w = mg.Tensor(np.ones((4, 8, 5, 5), np.float32)).requires_grad_()
    mg.conv2d(x, w)
    tracemalloc.start()
    try:
        y = mg.conv2d(x, w)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < y.data.nbytes + 100_000
    columns = 25 * 8 * 28 * 28 * 16 * 4
    assert most < columns / 2


@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (0, 2, 1, 1)])
def test_an_empty_batch_gives_an_empty_result_and_zero_gradients(shape):
    x = mg.tensor(np.zeros(shape), requires_grad=True)
    w, b = (mg.tensor(np.ones(s), requires_grad=True) for s in ((3, 2, 1, 1), (3,)))
    y = mg.conv2d(x, w, b)
    y.backward(np.zeros(y.shape))
    assert y.shape == (0, 3, *shape[2:])
    assert not w.grad.data.any() and not b.grad.data.any()


def test_float32_stays_float32_and_the_sum_of_both_is_float64():
    x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2), np.float32)
    assert mg.conv2d(x, w).dtype == np.float32
    assert mg.conv2d(x, w.astype(np.float64)).dtype == np.float64
    assert mg.conv2d(x.astype(np.int64), w).dtype == np.float32


x, w = np.ones((2, 4, 5, 6)), np.ones((3, 4, 2, 2))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: mg.conv2d(x[0], w), ShapeError, r"conv2d: x must be \(N, C, H, W\), got shape"),
        (lambda: mg.conv2d(x, w[0]), ShapeError, r"conv2d: weight must be \(out, in / groups, kh"),
        (
            lambda: mg.conv2d(x, w[:, :3]),
            ShapeError,
            r"conv2d: x \(2, 4, 5, 6\) has 4 channels.* 3",
        ),
        (lambda: mg.conv2d(x, w, groups=2), ValueError, "conv2d: groups=2 must be"),
        (lambda: mg.conv2d(x, w, groups=0), ValueError, "conv2d: groups=0 must be"),
        (lambda: mg.conv2d(x, w, np.ones(2)), ShapeError, r"conv2d: bias \(2,\) must be \(3,\)"),
        (
            lambda: mg.conv2d(x, w, stride=0),
            ValueError,
            "conv2d: stride must be .* at least 1, got 0",
        ),
        (lambda: mg.conv2d(x, w, padding=-1), ValueError, "conv2d: padding must be"),
        (lambda: mg.conv2d(x, w, padding=(1, 1, 1)), ValueError, "conv2d: padding must be"),
        (lambda: mg.conv2d(x, w, dilation=1.5), ValueError, "conv2d: dilation must be a whole"),
        (lambda: mg.conv2d(x, w, dilation=5), ShapeError, r"conv2d: a window of \(6, 6\) finds no"),
        (lambda: mg.conv2d(x, w[:, :, :0]), ShapeError, "conv2d: a window"),
        (lambda: mg.conv2d(None, w), DTypeError, "conv2d: .* not NoneType"),
        (lambda: mg.conv2d(2.0, w), ShapeError, "conv2d: x must be"),
        (lambda: mg.conv2d(x.astype(np.float16), w), DTypeError, "^conv2d: dtype float16"),
        (lambda: mg.conv1d(x, w), ShapeError, r"conv1d: x must be \(N, C, L\)"),
        (lambda: mg.conv1d(x[0], np.ones((2, 5, 7))), ShapeError, r"conv1d: a window of \(7,\)"),
        (lambda: mg.conv_transpose2d(x, w), ShapeError, "conv_transpose2d: .* is for 3"),
        (
            lambda: mg.conv_transpose2d(x, np.ones((4, 1, 2, 2)), output_padding=1),
            ValueError,
            r"conv_transpose2d: output_padding \(1, 1\) must be smaller than stride",
        ),
        (
            lambda: mg.conv_transpose2d(x, np.ones((4, 1, 2, 2)), padding=3),
            ShapeError,
            r"conv_transpose2d: .* output of sides \(0, 1\)",
        ),
    ],
)
def test_bad_input_is_named_with_the_remedy(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
