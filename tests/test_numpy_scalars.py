"""NumPy's scalars, such as np.float64(2), are numbers: they never change the dtype of a tensor.

An array of shape () is not a scalar here: it has a dtype on purpose, and promotes as NumPy says.
"""

import math

import numpy as np
import pytest

import minigen as mg
from minigen import nn, optim
from minigen.autodiff.primitives import REGISTRY
from minigen.testing.cases import CASES, draw_call
from minigen.testing.choices import Choices
from minigen.testing.pullback import as_tuple

SCALARS = [np.float64(2), np.float32(2), np.int64(2), np.int8(2), np.uint8(2), np.uint64(2)]
BINARY = [
    name
    for name, op in REGISTRY.items()
    if op.domain and len(op.signature.arrays) == 2 and name in mg.ops.__all__
]


@pytest.mark.parametrize("scalar", [*SCALARS, np.bool_(True)], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("name", BINARY)
def test_an_elementwise_op_of_a_tensor_and_a_numpy_scalar_keeps_the_tensors_dtype(name, scalar):
    f = getattr(mg, name)
    for shape in ((3,), (), (0, 2)):
        for dtype in (np.float32, np.float64):
            x = mg.Tensor(np.full(shape, 1.5, dtype)).requires_grad_()
            for args, number in (
                ((x, scalar), (x, scalar.item())),
                ((scalar, x), (scalar.item(), x)),
            ):
                y, want = f(*args), f(*number)
                assert y.dtype == dtype == want.dtype and np.array_equal(y.data, want.data)
                g = mg.grad(y, x, np.ones(shape, dtype), create_graph=True)
                assert g.dtype == dtype
                if g.requires_grad:
                    second = mg.grad(g, [x], np.ones(shape, dtype), allow_unused=True)[0]
                    assert second is None or second.dtype == dtype


OPERATIONS = {
    "x * s": lambda x, s: x * s,
    "s * x": lambda x, s: s * x,
    "x / sqrt(s)": lambda x, s: x / np.sqrt(s),
    "s / x": lambda x, s: s / x,
    "s - x": lambda x, s: s - x,
    "s ** x": lambda x, s: s**x,
    "x ** s": lambda x, s: x**s,
    "x % s": lambda x, s: x % s,
    "s // x": lambda x, s: s // x,
    "x += s": lambda x, s: x.__add__(s),
    "where(c, s, x)": lambda x, s: mg.where(x > 1, s, x),
    "where(c, x, s)": lambda x, s: mg.where(x.data > 1, x, s),
    "where(c, s, 0.0)": lambda x, s: mg.where(x > 1, s, 0.0),
    "clip(x, 0, s)": lambda x, s: mg.clip(x, 0, s),
    "clip(x, s)": lambda x, s: mg.clip(x, s),
    "maximum(s, x)": lambda x, s: mg.maximum(s, x),
    "scatter_add(x, 0, s)": lambda x, s: mg.scatter_add(x, 0, s),
    "pad(x, 1, s)": lambda x, s: mg.pad(x, 1, s),
    "softplus(x, s)": lambda x, s: mg.softplus(x, s, threshold=s),
    "norm(x, s)": lambda x, s: mg.norm(x, s),
    "var(x, ddof=s)": lambda x, s: mg.var(x, ddof=s / 4),
    "dropout(x, s)": lambda x, s: mg.dropout(x, s / 4, rng=mg.Generator(0)),
    "mse_loss(x, s)": lambda x, s: mg.mse_loss(x[0], s),
    "smooth_l1_loss beta": lambda x, s: mg.smooth_l1_loss(x, 3 * x, beta=s),
    "huber_loss delta": lambda x, s: mg.huber_loss(x, 3 * x, delta=s),
    "bce weight": lambda x, s: mg.binary_cross_entropy(x / 4, x.data / 4, s),
    "bce_with_logits weight": lambda x, s: mg.binary_cross_entropy_with_logits(x, x.data, s),
    "bce_with_logits pos_weight": lambda x, s: mg.binary_cross_entropy_with_logits(
        x, x.data, pos_weight=s
    ),
    "BCEWithLogitsLoss": lambda x, s: nn.BCEWithLogitsLoss(s, pos_weight=s)(x, x.data),
    "label_smoothing": lambda x, s: mg.cross_entropy(x, 1, label_smoothing=s / 4),
    "layer_norm eps": lambda x, s: mg.layer_norm(x, 3, eps=s),
    "attention scale": lambda x, s: mg.scaled_dot_product_attention(
        *[x.reshape(3, 1)] * 3, scale=s
    ),
    "nn.LeakyReLU": lambda x, s: nn.LeakyReLU(s)(-x),
    "nn.Softplus": lambda x, s: nn.Softplus(s)(x),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("scalar", [np.float64(2), np.sqrt(4), np.float32(2), np.int64(2)], ids=str)
def test_float32_stays_float32_beside_a_numpy_scalar(operation, scalar):
    x = mg.Tensor(np.array([0.5, 1.5, 2.5], np.float32)).requires_grad_()
    y, want = OPERATIONS[operation](x, scalar), OPERATIONS[operation](x, scalar.item())
    assert y.dtype == np.float32 and np.allclose(y.data, want.data, rtol=1e-6)
    if y.requires_grad:
        assert mg.grad(y, x, np.ones(y.shape, np.float32)).dtype == np.float32


def scalars_of_numpy(tree, narrow=False):
    """A nest of arguments with Python's numbers as NumPy scalars, narrow: of 8 bits if they fit."""
    if isinstance(tree, list | tuple):
        return type(tree)(scalars_of_numpy(x, narrow) for x in tree)
    if type(tree) is int and narrow and -128 <= tree <= 255:
        return np.uint8(tree) if tree >= 0 else np.int8(tree)
    kinds = {float: np.float64, int: np.int64, bool: np.bool_}
    return kinds[type(tree)](tree) if type(tree) in kinds else tree


@pytest.mark.parametrize("name", CASES)
def test_every_op_takes_numpy_scalars_for_numbers_and_computes_the_same(name):
    for seed in range(4):
        call = draw_call(name, Choices(seed))
        outputs = []
        for form in (lambda x: x, scalars_of_numpy, lambda x: scalars_of_numpy(x, True)):
            args, named = call.with_arrays([mg.Tensor(x) for x in call.in_float32()])
            keep = {key: named.pop(key) for key in ("rng",) if key in named}
            named = {key: form(value) for key, value in named.items()}
            with np.errstate(all="ignore"):
                outputs.append(as_tuple(call.op.function(*form(args), **named, **keep)))
        for want, got, narrow in zip(*outputs, strict=True):
            for y in (got, narrow):
                assert y.dtype == want.dtype and y.shape == want.shape
                assert np.array_equal(y, want, equal_nan=y.dtype.kind == "f")


def test_an_array_of_shape_0d_promotes_as_numpy_says():
    x = mg.ones(3)
    assert (x * np.array(2.0)).dtype == np.float64
    assert (x * np.array(2.0, np.float32)).dtype == np.float32
    assert (x * mg.Tensor(np.array(2.0))).dtype == np.float64


def test_integers_with_a_numpy_scalar_are_as_with_pythons():
    x = mg.tensor(np.array([1, 2], np.int8))
    assert (x * np.int64(3)).dtype == np.int8 and (x * np.float64(0.5)).dtype == np.float32


OPTIMIZERS = {
    "SGD": lambda p, s: optim.SGD(p, s(0.1), momentum=s(0.9), weight_decay=s(0.01)),
    "RMSprop": lambda p, s: optim.RMSprop(p, s(0.1), momentum=s(0.5), eps=s(1e-8)),
    "Adam": lambda p, s: optim.Adam(p, s(0.1), betas=(s(0.9), s(0.99)), eps=s(1e-8)),
    "AdamW": lambda p, s: optim.AdamW(p, s(0.1), weight_decay=s(0.1)),
}


@pytest.mark.parametrize("size", [3, 3000])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_numpy_scalars_for_its_settings(name, size):
    results = []
    for scalar in (float, np.float64, np.float32):
        p = nn.Parameter(np.linspace(-1, 1, size, dtype=np.float32))
        optimizer = OPTIMIZERS[name]([p], scalar)
        for _ in range(3):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        assert p.dtype == np.float32
        state = [x for x in optimizer.state_dict().values() if hasattr(x, "dtype") and x.ndim]
        assert all(x.dtype == np.float32 for x in state)
        norm = optim.clip_grad_norm([p], scalar(0.5))
        assert p.grad.dtype == np.float32 and math.isfinite(norm)
        results.append(p.data)
    assert np.array_equal(results[0], results[1])
    assert np.allclose(results[0], results[2], rtol=1e-4, atol=1e-5)


def test_sums_of_narrow_integers_do_not_wrap_around():
    u, x = np.uint8, mg.Tensor(np.arange(300.0)).requires_grad_()
    assert mg.tile(x.reshape(300, 1), (u(200), u(2))).shape == (60_000, 2)
    g = np.arange(300.0)
    assert np.array_equal(mg.grad(mg.roll(x, (u(3),), (0,)), x, g).data, np.roll(g, -3))
    assert np.array_equal(mg.grad(mg.roll(x, u(3)), x, g).data, np.roll(g, -3))
    assert mg.pad(x, ((u(200), u(200)),)).shape == (700,)
    assert [len(y) for y in mg.split(x, np.array([100, 250], u))] == [100, 150, 50]
    assert mg.repeat(x, np.full(300, 2, u)).shape == (600,)
