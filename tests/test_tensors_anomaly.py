"""detect_anomaly: the first non-finite value, by op, line of the user, shape and index."""

import sys

import numpy as np
import pytest

import minigen as mg
from minigen.autodiff.graph import trace_observer


@pytest.fixture(autouse=True)
def quiet():
    """NumPy's own warnings are not the subject."""
    with np.errstate(all="ignore"):
        yield


def leaf(values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def here(back=0):
    """The place of the line that calls."""
    return f"{__file__}:{sys._getframe(1).f_lineno - back}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("op", "f", "values", "index", "value"),
    [
        ("log", mg.log, [[1.0, -1.0]], "(0, 1)", "nan"),
        ("exp", mg.exp, [[0.0], [1e5]], "(1, 0)", "inf"),
        ("divide", lambda x: -1 / x, [3.0, 2.0, 0.0], "(2,)", "-inf"),
        ("split", lambda x: mg.split(x, 2), [1.0, np.inf], "(0,)", "inf"),
        ("softmax", mg.softmax, [[0.0, 1.0], [np.inf, 0.0]], "(1, 0)", "nan"),
        ("add", lambda x: x + 1, [np.nan], "(0,)", "nan"),
        ("sum", mg.sum, [np.inf, 1.0], "()", "inf"),
    ],
)
def test_going_forward_it_names_op_line_shapes_index_and_value(dtype, op, f, values, index, value):
    for requires_grad in (True, False):
        x = mg.tensor(np.array(values, dtype), requires_grad=requires_grad)
        with pytest.raises(FloatingPointError) as caught, mg.detect_anomaly():
            line = here(-1)
            f(x)
        for part in (f"'{op}'", index, f" {value} ", str(x.shape)):
            assert part in str(caught.value)
        if f.__module__ != __name__:
            assert line in str(caught.value)
        assert f"{__file__}:" in str(caught.value)


def test_going_back_it_names_the_derivative_the_forward_line_shape_and_index():
    with mg.detect_anomaly():
        x = leaf([4.0, 0.0, 0.0])
        y, line = mg.sqrt(x), here()
        z = y.sum()
        with pytest.raises(FloatingPointError) as caught:
            z.backward()
    for part in ("derivative", "'sqrt'", "argument 0", line, "(3,)", "(1,)", "inf"):
        assert part in str(caught.value)
    assert x.grad is None


def test_going_back_it_names_the_argument_whose_derivative_it_is():
    with mg.detect_anomaly():
        a, b = leaf([1.0, -1.0]), leaf([2.0, 2.0])
        z = mg.power(a, b).sum()
        with pytest.raises(FloatingPointError, match=r"'power'.*argument 1.*\(1,\)"):
            mg.grad(z, [a, b])


def test_it_is_told_of_a_non_finite_value_under_create_graph_too():
    with mg.detect_anomaly():
        x = leaf([4.0, 0.0])
        with pytest.raises(FloatingPointError, match=r"inf at index \(1,\)"):
            mg.grad(mg.sqrt(x).sum(), x, create_graph=True)


def test_it_names_the_path_of_modules():
    model = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.ReLU())
    model[0].weight.data[...] = np.nan
    with mg.detect_anomaly(), pytest.raises(FloatingPointError, match="Sequential > Linear"):
        model(mg.ones((1, 2)))


def test_the_line_is_the_users_though_its_file_may_begin_like_minigen():
    path = mg.__file__.replace("__init__.py", "").rstrip("/") + "_lab/model.py"
    code = compile("\n\ndef run(mg, x):\n    return mg.log(x)\n", path, "exec")
    scope = {}
    exec(code, scope)
    with mg.detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        scope["run"](mg, mg.tensor([-1.0]))
    assert f"{path}:4" in str(caught.value)


def test_finite_runs_are_the_same_with_and_without_it():
    def run():
        x, w = leaf([[1.0, 2.0]]), leaf([[3.0, 4.0], [5.0, 6.0]])
        y = mg.layer_norm(mg.linear(x, w), 2, np.ones(2), np.ones(2))
        mg.cross_entropy(y, np.array([1])).backward()
        return y.data.tobytes(), x.grad.data.tobytes(), w.grad.data.tobytes()

    plain = run()
    with mg.detect_anomaly():
        assert run() == plain
    assert run() == plain


def test_integers_and_booleans_are_finite():
    with mg.detect_anomaly():
        assert np.array_equal(mg.tensor([1, 2]) + 1, [2, 3])
        assert np.array_equal(mg.tensor([True]) * True, [True])


def test_the_observer_is_gone_after_the_context_also_when_it_raised():
    assert trace_observer.get() is None
    with pytest.raises(FloatingPointError), mg.detect_anomaly():
        mg.log(mg.tensor([-1.0]))
    assert trace_observer.get() is None
    assert np.isnan(mg.log(mg.tensor([-1.0])).data).all()


def test_it_serves_as_a_decorator():
    @mg.detect_anomaly()
    def run(x):
        return mg.log(x)

    assert float(run(mg.tensor(1.0))) == 0
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="'log'"):
            run(mg.tensor(-1.0))
