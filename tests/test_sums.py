"""Sums of many float32 terms are right to 1e-5, wherever they are made and in any memory layout.

Equal terms are the hardest: all rounding errors have one sign. The truth is the same computation in
float64, where not even 10^7 of its rounding errors are seen here.
"""

import itertools

import numpy as np
import pytest
from many_terms import AT, LIMIT, N, close, gradients, in_both_dtypes, tenths

import minigen as mg
from minigen import kernels
from minigen.kernels import reference
from minigen.testing.cases_reduce import REDUCE
from minigen.testing.memory import LAYOUTS, in_layout

LONG = [(N, 3), (3, N), (2, N // 2, 3), (400, 2, 500), (40, 50, 101, 2)]
REDUCTIONS = sorted(name for name, case in REDUCE.items() if not case.raw and name[0] != "_")


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


# -------------------------------------------------------------------- statistics, losses


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
        _, mean, variance, _ = twin.batch_norm(x[:, :, None], ones, zeros, 1e-5)
        assert close(variance, x.astype(np.float64).var(0))
        assert close(mean, x.astype(np.float64).mean(0))
        y, mean, _ = twin.layer_norm(rows, None, None, 1e-5)
        assert close(y.T, (x - x.mean(0, dtype=np.float64)) / x.std(0, dtype=np.float64))


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
