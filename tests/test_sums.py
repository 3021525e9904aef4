"""Sums of many float32 terms are right to 1e-5, wherever they are made and in any memory layout.

Equal terms are the hardest: all rounding errors have one sign. The truth is the same computation in
float64, where not even 10^7 of its rounding errors are seen here.
"""

import itertools

import numpy as np
import pytest

import minigen as mg
from minigen import kernels, nn
from minigen.kernels import reference
from minigen.testing.cases_reduce import REDUCE
from minigen.testing.memory import LAYOUTS, in_layout

LIMIT = 1e-5
N = 200_000  # terms
LONG = [(N, 3), (3, N), (2, N // 2, 3), (400, 2, 500), (40, 50, 101, 2)]
REDUCTIONS = sorted(name for name, case in REDUCE.items() if not case.raw and name[0] != "_")


def tenths(*shape):
    return np.full(shape, 0.1, np.float32)


def close(got, want, magnitude=None):
    """Whether got, float32, is right: relative to the sums of magnitudes, by default to want."""
    got, want = (np.asarray(x.data if isinstance(x, mg.Tensor) else x) for x in (got, want))
    assert got.dtype == np.float32 and got.shape == want.shape
    scale = np.abs(want if magnitude is None else magnitude).max()
    return np.abs(got - want.astype(np.float64)).max() <= LIMIT * scale


def in_both_dtypes(function, *arrays):
    """function of float32 arrays, and of the same numbers in float64."""
    return function(*arrays), function(*(np.asarray(x, np.float64) for x in arrays))


def gradients(loss, *arrays):
    """The gradients of loss(*tensors), a tensor () or one to be summed with weights of 0.1."""
    tensors = [mg.tensor(x, requires_grad=True) for x in arrays]
    y = loss(*tensors)
    return mg.grad(y, tensors, np.full(y.shape, np.float32(0.1), y.dtype))


def test_a_sum_of_a_million_terms_over_the_leading_axis():
    assert close(mg.full((10**6, 3), 0.1, dtype=np.float32).sum(0), np.full(3, 100000.0))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reductions_of_many_terms(name, layout):
    for shape in LONG[: 2 if name.endswith("prod") else None]:
        x = in_layout(tenths(*shape), layout)
        x = x if not name.endswith("prod") else in_layout(1 + 1e-5 * x, layout)
        axes = [*range(len(shape)), *itertools.combinations(range(len(shape)), 2)]
        if name in ("cumsum", "cumprod", "sort", "topk"):
            axes = range(len(shape))
        for axis in [a for a in axes if np.prod(np.array(shape)[np.atleast_1d(a)]) > 1000]:
            named = {"k": 3, "axis": axis} if name == "topk" else {"axis": axis}
            found = in_both_dtypes(lambda x, named=named: getattr(mg, name)(x, **named), x)
            got, want = (y[0] if isinstance(y, tuple) else y for y in found)
            limit = 1e-7 if name in ("var", "std") else None  # of equal numbers: 0
            assert close(got, want, limit and np.array(limit / LIMIT)), (shape, axis)


@pytest.mark.parametrize("twin", [kernels.sum_over, reference.sum_over])
def test_signs_that_differ_and_steps_of_any_sign(twin):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((3, 2000, 7, 30)).astype(np.float32)
    views = base[:, ::-2], base[::-1, :, ::3, 5:], base.transpose(3, 1, 0, 2), base[:, :, 2]
    for x in (*views, np.broadcast_to(base[:, :1], base.shape)):
        for r in range(1, x.ndim + 1):
            for axes in itertools.combinations(range(x.ndim), r):
                exact = x.astype(np.float64)
                y = np.asarray(twin(x, axes, True))
                assert close(y, exact.sum(axes, keepdims=True), np.abs(exact).sum(axes))


def test_the_bits_of_sums_are_those_of_one_thread():
    rng = np.random.default_rng(0)
    arrays = [rng.random(shape, dtype=np.float32) for shape in [(9000, 700), (5, 900, 300)]]
    arrays += [rng.random((300, 40, 100), dtype=np.float32).transpose(1, 2, 0)]
    before, found = mg.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            mg.set_num_threads(threads)
            found.append([kernels.sum_over(x, (i,)).tobytes() for x in arrays for i in (0, 1)])
    finally:
        mg.set_num_threads(before)
    assert found[0] == found[1] == found[2]


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_and_products_of_integers_are_int64(name, dtype):
    x = np.array([[1, 1, 0], [1, 1, 1]]).astype(dtype)
    for axis in (0, 1, -1, *(() if name[0] == "c" else (None, (0, 1)))):
        want = getattr(np, name)(x.astype(np.int64), axis=axis)
        for y in (getattr(mg, name)(x, axis), getattr(mg, name)(mg.tensor(x), axis).data):
            assert y.dtype == np.int64 and np.array_equal(y, want)


# ---------------------------------------------------------------- gradients that are sums

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


AT = np.full(N, 1)
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


# ----------------------------------------------------------------------------- products


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (3, 3), (7, 1), (20, 40), (30, 30)])
@pytest.mark.parametrize("k", [5000, 150_000])
@pytest.mark.parametrize("twin", [kernels.matmul, reference.matmul])
def test_products_with_many_terms(shape, k, twin):
    m, n = shape
    for a, b in [(tenths(m, k), tenths(k, n)), (tenths(k, m).T, tenths(n, k).T)]:
        want = a.astype(np.float64) @ b.astype(np.float64)
        assert close(twin(a, b), want)
        out = np.empty((m, n), np.float32)
        assert twin(a, b, out) is out and close(out, want)


SPECS = "ij->j", "ij->", "ij->i", "ij,ij->j", "ij,ij->", "ij,ik->jk", "ij,ik,il->jl", "ij,i->j"


@pytest.mark.parametrize("spec", [*SPECS, "ij,kj->k", "ij,k->j"])
def test_einsum_and_its_gradients(spec):
    xs = [tenths(N, 2 + i) for i in range(3)]
    terms = spec.partition("->")[0].split(",")
    shape = {"ij": (N, 3), "ik": (N, 4), "il": (N, 2), "i": (N,), "k": (N,), "kj": (2, 3)}
    xs = [tenths(*shape[term]) for term in terms]
    got, want = in_both_dtypes(lambda *xs: mg.einsum(spec, *xs), *xs)
    assert close(got, want)
    got, want = in_both_dtypes(lambda *xs: gradients(lambda *ts: mg.einsum(spec, *ts), *xs), *xs)
    assert all(map(close, got, want))


def test_tensordot_and_vectors():
    x = tenths(N, 3)
    for f in (lambda x: mg.tensordot(x, x, ((0,), (0,))), lambda x: mg.matmul(x[:, 0], x)):
        assert close(*in_both_dtypes(f, x))
    assert close(*in_both_dtypes(lambda x: mg.matmul(x[:, 0], x[:, 1]), x))


# ------------------------------------------------------------ statistics, windows, losses


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e6])
def test_statistics_of_rows_with_a_large_mean(offset):
    x = np.random.default_rng(0).standard_normal((64, 3)) + offset
    x = x.astype(np.float32)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    rows, images = np.ascontiguousarray(x.T), np.ascontiguousarray(x.T)[:, :, None]
    for f, array in [
        (lambda x: mg.var(x, 0), x),
        (lambda x: mg.std(x, 0, 1), x),
        (lambda x: gradients(lambda t: mg.var(t, 0), x)[0], x),
        (lambda x: gradients(lambda t: mg.std(t, 0), x)[0], x),
        (lambda x: mg.batch_norm(x, None, None, training=True), x),
        (lambda x: mg.batch_norm(x.reshape(8, 8, 3).swapaxes(1, 2), None, None, training=True), x),
        (lambda x: mg.layer_norm(x, 64), rows),
        (lambda x: mg.group_norm(x, 1), images),
    ]:
        assert close(*in_both_dtypes(f, array))
    for twin in (kernels, reference):
        y, mean, variance, _ = twin.batch_norm(x[:, :, None], ones, zeros, 1e-5)
        assert close(variance, x.astype(np.float64).var(0))
        assert close(mean, x.astype(np.float64).mean(0))
        y, mean, _ = twin.layer_norm(rows, None, None, 1e-5)
        assert close(y.T, (x - x.mean(0, dtype=np.float64)) / x.std(0, dtype=np.float64))


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


LOSSES = {
    "mse_loss": lambda x, t, r: mg.mse_loss(x, t, r),
    "l1_loss": lambda x, t, r: mg.l1_loss(x, t, r),
    "smooth_l1_loss": lambda x, t, r: mg.smooth_l1_loss(x, t, r),
    "huber_loss": lambda x, t, r: mg.huber_loss(x, t, r),
    "binary_cross_entropy": lambda x, t, r: mg.binary_cross_entropy(x, t, reduction=r),
    "binary_cross_entropy_with_logits": lambda x, t, r: mg.binary_cross_entropy_with_logits(
        x, t, reduction=r
    ),
    "kl_div": lambda x, t, r: mg.kl_div(x, t, reduction=r),
    "cross_entropy": lambda x, t, r: mg.cross_entropy(x, AT[: len(x)], reduction=r),
    "nll_loss": lambda x, t, r: mg.nll_loss(x, AT[: len(x)], reduction=r),
    "gaussian_kl": lambda x, t, r: mg.gaussian_kl(x.T, t.T),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layout", ["contiguous", "fortran", "stepped"])
def test_losses_of_many_values(name, reduction, layout):
    x, t = in_layout(tenths(N, 2), layout), in_layout(3 * tenths(N, 2), layout)
    assert close(*in_both_dtypes(lambda x, t: LOSSES[name](x, t, reduction), x, t))


@pytest.mark.parametrize("twin", [kernels, reference])
def test_softmax_of_many_classes(twin):
    x, target = 3 * tenths(2, N), np.array([1, 5])
    for axis, rows in ((1, x), (0, np.ascontiguousarray(x.T))):
        y, want = in_both_dtypes(lambda x, axis=axis: twin.softmax(x, axis), rows)
        assert close(y, want)
        assert close(*in_both_dtypes(lambda x, axis=axis: twin.log_softmax(x, axis), rows))
        for vjp in (twin.softmax_vjp, twin.log_softmax_vjp):
            g = rows.copy()
            g[0] = 2
            found = in_both_dtypes(lambda g, y, f=vjp, axis=axis: f(g, y, axis), g, rows)
            assert close(*found)
    loss, want = in_both_dtypes(lambda x: twin.cross_entropy(x, target, 0.1)[0], x)
    assert close(loss, want)


def test_the_norm_of_many_gradients():
    p = mg.tensor(tenths(N, 3), requires_grad=True)
    (p * 0.1).sum().backward()
    norm = mg.optim.clip_grad_norm([p], 1.0)
    assert abs(norm / (float(np.float32(0.1)) * (3 * N) ** 0.5) - 1) < LIMIT
    assert abs(np.linalg.norm(p.grad.numpy().astype(np.float64)) - 1) < LIMIT
