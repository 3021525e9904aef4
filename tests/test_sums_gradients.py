"""Gradients that are sums of many float32 terms are right to 1e-5: see test_sums.py."""

import numpy as np
import pytest
from many_terms import AT, N, close, gradients, in_both_dtypes, tenths

import minigen as mg
from minigen import kernels, nn
from minigen.kernels import reference

BINARY = ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum"]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shape", [(3,), (1, 3), (), (1, 1)])
def test_the_gradient_of_what_was_broadcast(name, shape):
    x = tenths(N, 3)
    for swapped in (False, True):

        def loss(p, x=x, swapped=swapped):
            other = mg.tensor(x.astype(p.dtype))
            return getattr(mg, name)(*((p, other) if swapped else (other, p)))

        got, want = in_both_dtypes(lambda p, loss=loss: gradients(loss, p)[0], 3 * tenths(*shape))
        assert close(got, want, 0.1 * N)


LAYERS = {
    "linear": (lambda: nn.Linear(3, 2), (N, 3)),
    "linear, wide": (lambda: nn.Linear(40, 30), (N // 4, 40)),
    "conv2d": (lambda: nn.Conv2d(1, 2, 3), (1, 1, 450, 450)),
    "conv1d": (lambda: nn.Conv1d(2, 2, 1), (N // 20, 2, 20)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(2, 1, 2), (20, 2, 100, 100)),
    "rnn": (lambda: nn.RNN(1, 2), (3, N // 3, 1)),
    "lstm": (lambda: nn.LSTM(1, 2), (3, N // 3, 1)),
    "gru": (lambda: nn.GRU(1, 2), (3, N // 3, 1)),
    "layer_norm": (lambda: nn.LayerNorm(3), (N, 3)),
    "batch_norm": (lambda: nn.BatchNorm1d(3), (N, 3)),
    "batch_norm of images": (lambda: nn.BatchNorm2d(2), (2000, 2, 10, 10)),
    "group_norm": (lambda: nn.GroupNorm(1, 2), (50, 2, 40, 50)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_of_parameters(name):
    make, shape = LAYERS[name]
    mg.manual_seed(0)
    layer = make()
    state = {key: p.numpy() for key, p in layer.state_dict().items()}
    x = np.random.default_rng(0).random(shape, dtype=np.float32) * np.float32(0.2)
    found = []
    for dtype in (np.float32, np.float64):
        layer = make().to(dtype)
        layer.load_state_dict({key: mg.tensor(p.astype(dtype)) for key, p in state.items()})
        y = layer(mg.tensor(x.astype(dtype)))
        y = y[0] if isinstance(y, tuple) else y
        y.backward(mg.tensor(tenths(*y.shape).astype(dtype)))
        found.append({key: p.grad for key, p in layer.named_parameters()})
    for key, got in found[0].items():
        assert close(got, found[1][key], 0.1 * N if "norm" in name else None), key


DUPLICATES = {
    "getitem": lambda x: x[AT],
    "getitem of two axes": lambda x: x[AT, 2 * AT],
    "getitem of a later axis": lambda x: x[:, AT],
    "take_along_axis": lambda x: mg.take_along_axis(x, AT[:, None], 0),
    "embedding": lambda x: mg.embedding(AT, x),
    "repeat": lambda x: mg.repeat(x, N // 10, 1),
    "tile": lambda x: mg.tile(x, (N, 1)),
    "negative": lambda x: x[-AT, -2],
}


@pytest.mark.parametrize("name", DUPLICATES)
def test_the_gradient_at_an_index_that_is_named_often(name):
    got, want = in_both_dtypes(lambda x: gradients(DUPLICATES[name], x)[0], tenths(4, 3))
    assert close(got, want) and abs(want).max().item() > 1000


@pytest.mark.parametrize("twin", [kernels.scatter_rows, reference.scatter_rows])
@pytest.mark.parametrize("rows", [3, 2 * N])  # fewer and more than indices
def test_scatter_rows_with_one_row_named_often(twin, rows):
    index = np.where(np.arange(N) % 100, 1, np.arange(N) % rows)
    want = np.zeros((rows, 2))
    np.add.at(want, index, np.float64(np.float32(0.1)))
    assert close(twin(np.zeros((rows, 2), np.float32), index, tenths(N, 2)), want)


WINDOWS = {
    "avg_pool2d, one window": (lambda x: mg.avg_pool2d(x, 400), (1, 1, 400, 400)),
    "avg_pool2d, windows that overlap": (lambda x: mg.avg_pool2d(x, 300, 1), (1, 1, 350, 340)),
    "avg_pool2d, steps": (lambda x: mg.avg_pool2d(x, (200, 30), (7, 5)), (1, 2, 300, 90)),
    "adaptive_avg_pool2d": (lambda x: mg.adaptive_avg_pool2d(x, 1), (1, 2, 300, 301)),
    "adaptive_avg_pool2d, uneven": (lambda x: mg.adaptive_avg_pool2d(x, 2), (1, 1, 601, 301)),
    "interpolate": (lambda x: mg.interpolate(x, 300), (1, 1, 2, 2)),
    "max_pool1d": (lambda x: mg.max_pool1d(x, 6001, 1), (1, 1, 12_001)),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_long_sums_over_windows_and_their_gradients(name):
    f, shape = WINDOWS[name]
    assert close(*in_both_dtypes(f, tenths(*shape)))
    assert close(*in_both_dtypes(lambda x: gradients(f, x)[0], tenths(*shape)))
