"""`Recording.times`: FLOPs, bytes, and a total in which every second of the run is in one row."""

import warnings
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigen as mg
from minigen import nn, study
from minigen.errors import ShapeError
from minigen.nn.flops import backward_flops, forward_flops
from minigen.study.machine import machine_of
from minigen.study.times import OUTSIDE

OPTIONS = {"values": False}


def normal(*shape, **options):
    return mg.tensor(mg.Generator(len(shape)).normal(shape), **options)


def recorded(loss, **options):
    with study.record(**(OPTIONS | options)) as run:
        loss().backward()
    return run


def costs(run, op):
    (row,) = [row for row in run.times().rows if row.name == op]
    return row


def net():
    rng = mg.Generator(0)
    return nn.Sequential(nn.Linear(6, 8, rng=rng), nn.Tanh(), nn.Linear(8, 3, rng=rng))


# ---------------------------------------------------------------------------------- FLOPs


def weighted(*shape):
    return normal(*shape, requires_grad=True)


X, Q, K, V, S = (2, 3, 8, 8), (2, 5, 4), (2, 7, 4), (2, 7, 6), (3, 2, 4)
SCORES, MIX = 2 * 2 * 5 * 7 * 4, 2 * 2 * 5 * 7 * 6
INPUT, STATE = 2 * 3 * 2 * 20 * 4, 2 * 3 * 2 * 20 * 5  # an LSTM of 5, x (3, 2, 4)
ATTEND = mg.scaled_dot_product_attention
CASES = {  # the call on tensors of these shapes, the op, FLOPs forward and backward
    "matmul": (lambda a, b: a @ b, [(2, 3), (3, 5)], "matmul", 60, 120),
    "batches": (lambda a, b: a @ b, [(4, 2, 3), (4, 3, 5)], "matmul", 240, 480),
    "linear": (mg.linear, [(4, 3), (5, 3), (5,)], "linear", 120, 240 + 20),
    "convolve": (mg.conv2d, [X, (4, 3, 3, 3)], "convolve", 2 * 288 * 27, 4 * 288 * 27),
    "groups": (
        lambda x, w: mg.conv2d(x, w, groups=3),
        [X, (6, 1, 3, 3)],
        *("convolve", 2 * 432 * 9, 4 * 432 * 9),
    ),
    "transposed": (
        mg.conv_transpose2d,
        [(1, 2, 4, 4), (2, 3, 2, 2)],
        *("convolve_transpose", 2 * 32 * 12, 4 * 32 * 12),
    ),
    "attention": (ATTEND, [Q, K, V], "attention", SCORES + MIX, 2 * (SCORES + MIX)),
    "causal": (
        lambda q, k, v: ATTEND(q, k, v, is_causal=True),
        [(3, 2), (3, 2), (3, 2)],
        *("attention", 2 * 6 * 4, 4 * 6 * 4),
    ),
    "einsum": (
        lambda a, b: mg.einsum("bij,bjk->bik", a, b),
        [(2, 3, 4), (1, 4, 5)],
        *("einsum", 240, 480),
    ),
    "lstm": (
        lambda *args: mg.ops.lstm(*args)[0],
        [S, (2, 5), (2, 5), (20, 4), (20, 5), (20,)],
        *("lstm", INPUT + STATE, 2 * (INPUT + STATE) + 6 * 20),
    ),
    "tanh": (mg.tanh, [(3, 4)], "tanh", 12, 12),
    "a sum": (mg.sum, [(3, 4)], "sum", 12, 12),
    "repeated": (lambda x: mg.broadcast_to(x, (5, 3)), [(3,)], "broadcast_to", 0, 15),
    "moved": (lambda x: mg.transpose(x), [(3, 4)], "transpose", 0, 0),
    "with a number": (lambda x: x * 2, [(3, 4)], "multiply", 12, 12),
}


@pytest.mark.parametrize(("call", "shapes", "op", "forward", "backward"), CASES.values(), ids=CASES)
def test_flops_of_an_op_and_of_its_rules(call, shapes, op, forward, backward):
    args = [weighted(*shape) for shape in shapes]

    def loss():
        y = call(*args)
        return y if op == "sum" else mg.sum(y)

    row = costs(recorded(loss), op)
    assert (row.forward.flops, row.backward.flops) == (forward, backward)


def test_only_cotangents_that_are_wanted_are_counted():
    x, w = normal(4, 3), weighted(5, 3)
    row = costs(recorded(lambda: mg.sum(mg.linear(x, w))), "linear")
    assert row.forward.flops == row.backward.flops == 120
    args, y = [SimpleNamespace(shape=s) for s in (Q, K, V)], [SimpleNamespace(shape=(2, 5, 6))]
    for wanted, flops in [
        ((True, False, False), SCORES + MIX),
        ((False, False, True), MIX),
        ((True, True, False), 2 * SCORES + MIX),
        ((False, False, False), 0),
    ]:
        assert backward_flops("attention", args, y, {}, wanted) == flops


@given(st.lists(st.integers(0, 6), min_size=3, max_size=3), st.booleans())
def test_the_flops_of_a_product_are_those_of_its_loops(sizes, twice):
    m, k, n = sizes
    a, b, y = (SimpleNamespace(shape=s) for s in ((m, k), (k, n), (m, n)))
    terms = sum(2 for _ in range(m) for _ in range(n) for _ in range(k))
    assert forward_flops("matmul", [a, b], [y], {}) == terms
    assert backward_flops("matmul", [a, b], [y], {}, (True, twice)) == terms * (1 + twice)


def test_bytes_are_those_read_and_written_and_none_for_views():
    x, w = normal(4, 3, requires_grad=True), weighted(3, 2)
    run = recorded(lambda: mg.sum(mg.transpose(x @ w)))
    row = costs(run, "matmul")
    assert row.forward.bytes == 4 * (12 + 6 + 8)
    assert row.backward.bytes == 4 * (8 + 12 + 6 + 12 + 6)  # g, both factors, both gradients
    assert costs(run, "transpose").forward.bytes == 0


# ---------------------------------------------------------------------- the sums of seconds


def test_the_rows_add_up_to_the_run_and_no_step_is_counted_twice():
    model, x = net(), normal(5, 6)
    run = recorded(lambda: mg.mean(model(x) ** 2))
    times = run.times()
    assert times.seconds == pytest.approx(run.seconds)
    assert sum(row.seconds for row in times.rows) == pytest.approx(times.seconds)
    assert sum(row.calls for row in times.rows) == sum(s.kind == "forward" for s in run.steps)
    ops = [row for row in times.rows if row.name != OUTSIDE]
    assert sum(row.seconds for row in ops) == pytest.approx(sum(s.seconds for s in run.steps))
    for row in ops:
        mine = [s for s in run.steps if s.op == row.name]
        forward = sum(s.seconds for s in mine if s.kind == "forward")
        assert row.forward.seconds == pytest.approx(forward)
        assert row.seconds - row.forward.seconds == pytest.approx(
            sum(s.seconds for s in mine) - forward
        )


@pytest.mark.parametrize("values", [False, True])
def test_what_rules_call_is_part_of_their_step(values):
    x = weighted(3, 4)
    with study.record(values=values) as run:
        (gx,) = mg.grad(mg.sum(mg.logsumexp(mg.tanh(x), 1) ** 3), [x], create_graph=True)
        mg.sum(gx * gx).backward()
    nested = [step for step in run.steps if step.inside is not None]
    assert nested
    times = run.times()
    inner = sum(step.seconds for step in run.steps if step.inside is None)
    ops = sum(row.seconds for row in times.rows if row.name != OUTSIDE)
    assert ops == pytest.approx(inner) and times.seconds == pytest.approx(run.seconds)


def test_the_wait_for_products_of_other_threads_is_time_of_the_ops_that_deferred_them():
    rng = mg.Generator(0)
    model = nn.Sequential(nn.Linear(256, 256, rng=rng), nn.ReLU(), nn.Linear(256, 256, rng=rng))
    x = normal(128, 256)
    run = recorded(lambda: mg.sum(model(x)))
    (each,) = run.passes
    backward = [step for step in run.steps if step.kind == "backward"]
    assert sum(step.seconds for step in backward) <= each.seconds <= run.seconds
    assert costs(run, "linear").backward.flops == 2 * 2 * 128 * 256 * 256 + 2 * 128 * 256 + (
        2 * 128 * 256 * 256  # the first layer's x needs none
    )


def test_gradients_of_a_run_are_those_without_a_recording():
    model, x = net(), normal(5, 6)
    loss = lambda: mg.mean(model(x) * model(x * 2) + model(x * 3))  # leaves that are used thrice
    loss().backward()
    wanted = [p.grad.data.copy() for p in model.parameters()]
    model.zero_grad()
    run = recorded(loss)
    assert all(np.array_equal(p.grad.data, g) for p, g in zip(model.parameters(), wanted))
    (each,) = run.passes
    assert len(each.gradients) == 4
    for of, number in each.gradients.items():
        gradient = run.values[number]
        assert gradient.of == of and len(gradient.terms) == 3 and number not in gradient.terms
        assert all(run.values[term].of == of for term in gradient.terms)


# ----------------------------------------------------------------------------- what is shown


def test_modules_hold_what_is_in_them():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = net(), net()

        def forward(self, x):
            return self.second.children and self.first(x) + mg.exp(self.second(x))

    model, x = Both(), normal(5, 6)
    rows = {row.name: row for row in recorded(lambda: mg.mean(model(x))).times().modules}
    assert list(rows)[:3] == ["Both", "first (Sequential)", "first.0 (Linear)"]
    inner = [rows[name] for name in ("first (Sequential)", "second (Sequential)")]
    assert rows["Both"].calls == sum(row.calls for row in inner) + 2 == 8  # an add and an exp
    assert rows["Both"].seconds >= sum(row.seconds for row in inner)
    assert rows["first.0 (Linear)"].forward.flops == 2 * 5 * 6 * 8


def test_a_run_that_goes_on_has_times_by_module_too():
    model, x = net(), normal(5, 6)
    with study.record(**OPTIONS) as run:
        model(x)
        names = [row.name for row in run.times().modules]
    assert names == [row.name for row in run.times().modules] and names[0] == "Sequential"


def test_the_ops_that_lose_most_are_named_in_the_table_and_the_figure(tmp_path):
    model, x = net(), normal(50, 6)
    times = recorded(lambda: mg.mean(model(x) ** 2)).times()
    lost = sorted((row for row in times.rows), key=lambda row: -row.lost)[:3]
    assert times.lost == [row.name for row in lost]
    text = str(times)
    assert repr(times) == text and OUTSIDE in text and "total" in text
    assert f"Most time above its bound is lost in {times.lost[0]} (" in text
    assert "GFLOP/s in float32" in text
    root = ElementTree.fromstring(f"<div>{times._repr_html_()}</div>")
    assert [table.tag for table in root][:2] == ["table", "table"]
    picture = times.figure(tmp_path / "roofline.png")
    assert picture.path.read_bytes().startswith(b"\x89PNG")


def test_speeds_are_measured_once_for_a_number_of_threads():
    first = machine_of()
    assert machine_of() is first and first.threads == mg.get_num_threads()
    assert min(first.bandwidth, first.float32, first.float64) > 0
    assert first.bound(first.float32, 0, "float32") == pytest.approx(1)
    assert first.bound(0, 2 * first.bandwidth, "float64") == pytest.approx(2)
    assert first.peak("float64") == first.float64 and first.peak("int64") == first.float32


def odd(name):
    x, big = weighted(3), mg.tensor(np.ones(3), requires_grad=True)
    if name == "constants":
        with mg.no_grad():
            mg.exp(x)
    elif name == "empty arrays":
        mg.sum(weighted(0, 3) @ weighted(3, 0)).backward()
        ATTEND(weighted(0, 2), weighted(0, 2), weighted(0, 2))
    elif name == "integers":
        mg.Tensor(np.arange(3)) // 2 + (mg.Tensor(np.arange(3)) > 1)
    elif name == "float64":
        mg.sum(big @ big).backward()
    elif name == "numbers":
        (weighted() * 2).backward()
    elif name == "a failure":
        with pytest.raises(ShapeError):
            x @ weighted(4)
    elif name == "an older graph":
        return mg.sum(mg.exp(x))
    return None


ODD = [
    *("nothing", "constants", "empty arrays", "integers", "float64", "numbers", "a failure"),
    "an older graph",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_runs_have_times_and_a_figure(name, tmp_path):
    before = odd(name) if name == "an older graph" else None
    with study.record(**OPTIONS) as run, warnings.catch_warnings():
        if before is not None:
            before.backward()
        else:
            odd(name)
        assert run.times().seconds > 0  # while it runs
    times = run.times()
    assert times.seconds == pytest.approx(sum(row.seconds for row in times.rows))
    assert ("float64" in times.dtypes) == (name == "float64")
    assert "total" in str(times) and times._repr_html_()
    times.figure(tmp_path / "roofline.png")
