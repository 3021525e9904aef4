"""The kernels of optimizers against the optimizers' own formulas, which are the definition."""

import numpy as np
import pytest
from gpu_device import on_device
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen as mg
from minigen import optim
from minigen.backend.devices import to_numpy
from minigen.kernels import gpu
from minigen.testing import assert_close
from minigen.testing.choices import Choices
from minigen.testing.memory import in_layout
from minigen.testing.strategies import drawn

cpu = pytest.importorskip("minigen.kernels.cpu")

LIMITS = {np.float64: 1e-12, np.float32: 4e-6}
SHAPES = ((), (0,), (7,), (3, 5), (4100,))  # the last is longer than a block's share on a GPU
NAMES = {"sgd": optim.SGD, "rmsprop": optim.RMSprop, "adam": optim.Adam, "adamw": optim.AdamW}
every_kernel = pytest.mark.parametrize("name", NAMES)


def draw_rows(c: Choices, name: str, dtype: type, layouts=("contiguous",)):
    """Rows (p, g, *state) of some parameters, and settings."""
    momentum, decay = c.pick((0.0, 0.9)), c.pick((0.0, 0.1))
    values = {
        "sgd": [0.01, momentum, c.pick((0.0, 0.3)), decay, float(momentum and c.pick((0, 1)))],
        "rmsprop": [0.01, 0.9, 1e-6, decay, momentum],
    }.get(name, [0.01, 0.9, 0.999, 1e-8, decay, c.pick((1.0, 2.0, 1000.0))])
    rows, with_last = [], c.flag()  # the array that only amsgrad and centered use
    for _ in range(c.integer(1, 3)):
        shape = c.pick(SHAPES)
        p, g, first = (c.array(shape) for _ in range(3))
        second, mean = c.array(shape, 0.1, 1.0), c.array(shape, -0.3, 0.3)
        buffer = first if momentum else None
        state = {
            "sgd": [buffer],
            "rmsprop": [second, buffer, mean if with_last else None],
        }.get(name, [first, second, c.array(shape, 0.1, 1.0) if with_last else None])
        row = [
            x if x is None else in_layout(x.astype(dtype), c.pick(layouts)) for x in (p, g, *state)
        ]
        rows.append(tuple(row))
    return rows, np.array(values)


def after_formula(name, rows, settings):
    """The rows as the formula leaves them, in float64."""
    copies = [tuple(x if x is None else x.astype(np.float64) for x in row) for row in rows]
    for row in copies:
        NAMES[name].formula(*row, *settings.tolist())
    return copies


def check(got, want, dtype):
    for row, expected in zip(got, want, strict=True):
        for x, y in zip(row, expected, strict=True):
            if x is not None:
                assert_close(np.asarray(x), y.astype(dtype), LIMITS[dtype])


@pytest.mark.parametrize("dtype", LIMITS)
@every_kernel
@given(data=st.data())
def test_kernel_and_formula_agree_and_the_kernel_takes_what_is_contiguous(name, dtype, data):
    layouts = ("contiguous", "offset", "stepped", "transposed")
    rows, values = data.draw(drawn(lambda c: draw_rows(c, name, dtype, layouts)))
    want, before = after_formula(name, rows, values), [row[1].tobytes() for row in rows]
    left = getattr(cpu, name)(rows, values)
    expected = [r for r in rows if not all(x is None or x.flags.c_contiguous for x in r)]
    assert [id(row) for row in left] == [id(row) for row in expected]
    for row in left:
        NAMES[name].formula(*row, *values.tolist())
    check(rows, want, dtype)
    assert [row[1].tobytes() for row in rows] == before  # gradients are read only


@pytest.mark.parametrize("dtype", LIMITS)
@every_kernel
@settings(max_examples=max(settings.default.max_examples // 4, 1))
@given(data=st.data())
@pytest.mark.usefixtures("device")
def test_gpu_kernel_and_formula_agree(name, dtype, data):
    rows, values = data.draw(drawn(lambda c: draw_rows(c, name, dtype)))
    want = after_formula(name, rows, values)
    layout = data.draw(st.sampled_from(("plain", "stepped")))
    there = [
        tuple(on_device(x, layout if i == 1 else "plain") for i, x in enumerate(r)) for r in rows
    ]
    assert getattr(gpu, name)(there, values) == []
    check([tuple(x if x is None else to_numpy(x) for x in row) for row in there], want, dtype)


@every_kernel
def test_a_long_step_in_pieces_has_the_same_bits_for_any_number_of_threads(name):
    draw = np.random.default_rng(0)
    lengths, found = (7, 120_000, 1, 500, 180_000), []
    for threads in (1, 3):
        draw = np.random.default_rng(0)
        rows = [[draw.random(n, np.float32) + 0.1 for _ in range(5)] for n in lengths]
        rows = [tuple(row[:3] if name == "sgd" else row) for row in rows]
        tail = {"sgd": [0.9, 0.0, 0.01, 1.0], "rmsprop": [0.9, 1e-8, 0.01, 0.9]}
        values = np.array([0.1, *tail.get(name, [0.9, 0.999, 1e-8, 0.01, 3.0])])
        before = mg.get_num_threads()
        mg.set_num_threads(threads)
        try:
            getattr(cpu, name)(rows, values)
        finally:
            mg.set_num_threads(before)
        found.append(b"".join(x.tobytes() for row in rows for x in row))
    assert found[0] == found[1]
