"""The functions that the kernels compute in their loops: accuracy, edges, and where they come from.

Truth is NumPy in long double (64 bits of fraction on x86), and SciPy for erf.
"""

import math
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

numba = pytest.importorskip("numba")
special = pytest.importorskip("scipy.special")

from minigen.kernels.cpu import compiling, vector_math  # noqa: E402

WIDE, INF, NAN = np.longdouble, math.inf, math.nan
TRUTH = {  # and the most units in the last place that ours may be off
    "exp": (np.exp, 1.1),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 3.0),
    "log1p_unit_interval": (np.log1p, 3.0),
    "tanh": (np.tanh, 7.0),
    "erf": (lambda x: special.erf(x.astype(np.float64)), 8.0),
}
EDGES = {  # at -inf, inf, -0.0, 0.0, NaN
    "exp": (0.0, INF, 1.0, 1.0, NAN),
    "sigmoid": (0.0, 1.0, 0.5, 0.5, NAN),
    "tanh": (-1.0, 1.0, -0.0, 0.0, NAN),
    "erf": (-1.0, 1.0, -0.0, 0.0, NAN),
}


def looped(name):
    """The function in a loop over an array, which may reorder sums as the kernels' loops may."""
    function = getattr(vector_math, name)

    @numba.njit(error_model="numpy", fastmath=set(compiling.REASSOCIATE))
    def loop(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    def run(x):
        y = np.empty_like(x)
        loop(x, y)
        return y

    run.loop = loop
    return run


@pytest.fixture(scope="module", params=TRUTH)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def ours(name):
    return looped(name)


def values(name, dtype):
    """All sizes of numbers, most of them where the function bends."""
    rng = np.random.default_rng(0)
    tiny = 10.0 ** rng.uniform(-30, 0, 20_000)
    if name == "log1p_unit_interval":
        return np.concatenate([tiny, rng.uniform(0, 1, 100_000), [0.0, 1.0]]).astype(dtype)
    wide = rng.uniform(-1, 1, 100_000) * (90 if dtype is np.float32 else 710)
    near = rng.uniform(-7, 7, 200_000)
    return np.concatenate([tiny, -tiny, wide, near, rng.uniform(-1, 1, 50_000)]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accurate_to_a_few_units_in_the_last_place(name, ours, dtype):
    x = values(name, dtype)
    (truth, limit), limits = TRUTH[name], np.finfo(dtype)
    with np.errstate(over="ignore"):
        want = truth(x.astype(WIDE))
    normal = (np.abs(want) >= limits.tiny) & (np.abs(want) <= limits.max)
    got, want = ours(x)[normal], want[normal]
    error = np.abs(got - want) / np.spacing(np.abs(want).astype(dtype))
    assert normal.sum() > 0.8 * x.size
    assert error.max() <= limit, f"{error.max()} at {x[normal][error.argmax()]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EDGES)
def test_edges_are_exact(name, dtype):
    got = looped(name)(np.array([-INF, INF, -0.0, 0.0, NAN], dtype))
    want = np.array(EDGES[name], dtype)
    assert got.dtype == dtype and np.array_equal(got, want, equal_nan=True)
    assert np.array_equal(np.signbit(got[:4]), np.signbit(want[:4]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_overflows_to_infinity_and_underflows_to_zero(dtype):
    limits = np.finfo(dtype)
    high, low = np.log(limits.max.astype(WIDE)), np.log(limits.tiny.astype(WIDE))
    x = np.array([high - 1e-5, high + 1e-5, 1e30, low + 1e-5, low - 1e-5, low * 1.5, -1e30])
    x = x.astype(dtype)
    y = looped("exp")(x)
    assert np.isfinite(y[0]) and (y[1:3] == INF).all()
    assert 0 < y[3] < 1.01 * limits.tiny and (y[4:] == 0).all()


@pytest.mark.parametrize("name", ["tanh", "erf"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_and_never_beyond_one(name, dtype):
    x = np.linspace(0, 30, 100_001).astype(dtype)
    run = looped(name)
    y = run(x)
    assert np.array_equal(run(-x), -y) and y.max() == 1 and (y[x > 20] == 1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_larger_keeps_nan(dtype):
    @numba.njit
    def largest(x):
        top = x[0]
        for value in x:
            top = vector_math.larger(top, value)
        return top

    assert largest(np.array([1, -INF, 3, -0.0], dtype)) == 3
    assert largest(np.array([-INF, -INF], dtype)) == -INF
    assert np.isnan(largest(np.array([1, NAN, INF], dtype)))


@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "float"), (np.float64, "double")])
def test_a_loop_with_it_is_vectorized(name, dtype, kind):
    run = looped(name)
    run(np.ones(3, dtype))
    (code,) = run.loop.inspect_llvm().values()
    assert re.search(rf"fmul .*<\d+ x {kind}>", code)


def through_chebyshev_points(series, degree, low, high):
    """The polynomial of that degree through a power series at the Chebyshev points."""
    count = degree + 1
    angles = (math.pi * (2 * k + 1) / (2 * count) for k in range(count))
    points = [Fraction((low + high) / 2 + (high - low) / 2 * math.cos(a)) for a in angles]
    differences = [sum(c * x**k for k, c in enumerate(series)) for x in points]  # Newton's
    for j in range(1, count):
        for i in reversed(range(j, count)):
            step = points[i] - points[i - j]
            differences[i] = (differences[i] - differences[i - 1]) / step
    coefficients = [Fraction(0)]
    for x, d in zip(reversed(points), reversed(differences)):
        times_x = [Fraction(0), *coefficients]
        coefficients = [a - x * b for a, b in zip(times_x, [*coefficients, Fraction(0)])]
        coefficients[0] += d
    return [float(c) for c in coefficients[:count]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_polynomials_are_what_their_comment_says(dtype):
    e = [Fraction(1, math.factorial(k + 2)) for k in range(24)]
    atanh = [Fraction(1, 2 * k + 3) for k in range(40)]
    for table, series, low, high in (
        (vector_math._EXP, e, -0.3466, 0.3466),
        (vector_math._ATANH, atanh, 0.0, 1 / 9),
    ):
        want = through_chebyshev_points(series, len(table[dtype]) - 1, low, high)
        assert np.allclose(table[dtype], want, rtol=1e-9, atol=0)


# ------------------------------------------------------------------------------- the cache

ONE_ERF = """
import numpy as np
from minigen.kernels.cpu import functions
y = functions.erf(np.full(4, 1.0))
hits = sum(functions._erf.stats.cache_hits.values())
print(float(y[0]), hits)
"""


def run_erf(folder):
    environment = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-c", ONE_ERF]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value, hits = done.stdout.split()
    return float(value), int(hits)


def test_a_change_of_a_helper_in_another_file_is_noticed(tmp_path):
    source = Path(vector_math.__file__)
    shutil.copytree(source.parents[2], tmp_path / "minigen", ignore=lambda *_: ["__pycache__"])
    first, hits = run_erf(tmp_path)
    assert (first, hits) == (pytest.approx(math.erf(1)), 0)
    assert run_erf(tmp_path) == (first, 1)
    text = source.read_text()
    changed = text.replace("1.1283791670955126", "2.1283791670955126")
    assert changed != text
    (tmp_path / "minigen/kernels/cpu/vector_math.py").write_text(changed)
    second, hits = run_erf(tmp_path)
    assert second > 1.0 * first and second != first and hits == 0
