"""Names in programs: those of the user's that are also names of functions, and the user's ops."""

import math
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen import nn, ops, study
from minigen.autodiff.primitives import REGISTRY, primitive
from minigen.study.programs.naming import cotangent_of
from minigen.testing.source_programs import (
    arguments_of,
    error,
    largest_error,
    leaves_of,
    run_program,
)


class Clashing(nn.Module):
    """Modules with the names of functions that programs define, and of what they import."""

    def __init__(self):
        rng = mg.Generator(0)
        self.scatter = nn.Linear(3, 4, rng=rng, dtype=np.float64)
        self.sigmoid = nn.Sigmoid()
        self.softmax = nn.Linear(4, 5, rng=rng, dtype=np.float64)
        self.np = nn.LayerNorm(5, dtype=np.float64)

    def forward(self, x):
        softmax = ops.softmax(self.np(self.softmax(self.sigmoid(self.scatter(x)))), -1)
        math = ops.gelu(softmax)
        return math[[0, 0, 1]]


@pytest.mark.parametrize("fused", [False, True])
def test_no_value_takes_the_name_of_a_function(fused):
    net, x = Clashing(), mg.tensor(np.linspace(-1, 1, 6).reshape(2, 3))
    with study.record() as run:
        loss = ops.square(net(x)).sum()
        loss.backward()
    outputs, gradients = run_program(run.source(fused), arguments_of(run))
    assert error(outputs[0], loss.data) < 1e-12
    for path, p in net.named_parameters():
        assert error(gradients[path.replace(".", "_")], p.grad.data) < 1e-12


def test_an_argument_may_have_the_name_of_a_function():
    names = "softmax", "log_softmax", "exp"
    leaves = {name: mg.tensor(np.array([0.5, -1.0]), requires_grad=True) for name in names}
    with study.record(names=leaves) as run:
        loss = (ops.softmax(leaves["softmax"]) * ops.exp(leaves["exp"])).sum()
        loss = loss + ops.log_softmax(leaves["log_softmax"])[0]
        loss.backward()
    assert "def softmax_of(x, axis)" in run.source()
    assert largest_error(run, [loss], leaves) < 1e-15


SLOPE = 0.25


def users_op(x):
    """A function of a user's."""
    y = np.exp(-x)
    return (1 - y) / SLOPE


def test_an_op_of_the_users_is_a_function_of_the_program():
    op = primitive(lambda g, y, x: g * (1 - SLOPE * y), saves="y")(users_op)
    leaves = leaves_of([np.array([0.5, -1.0])])
    with study.record(names=leaves) as run:
        loss = ops.square(op(leaves["a0"])).sum()
        loss.backward()
    assert "def users_op(x):" in run.source() and "SLOPE" not in run.source()
    assert largest_error(run, [loss], leaves) < 1e-15


def test_an_op_of_the_users_that_is_not_numpy_says_so():
    @primitive(lambda g, y, x: g)
    def through_text(x):
        return np.fromstring(pytest.approx(x), sep=" ") if x is None else x + 0.0

    leaves = leaves_of([np.array([0.5, -1.0])])
    with study.record(names=leaves) as run:
        through_text(leaves["a0"]).sum().backward()
    with pytest.raises(TypeError, match="a program imports numpy and math alone, and not pytest"):
        run.source()
    del REGISTRY["through_text"]


@pytest.mark.parametrize(
    "number, text",
    [
        (1 / 3, "(1 / 3)"),
        (math.sqrt(2 / math.pi), "math.sqrt(2 / math.pi)"),
        (2 / math.sqrt(math.pi), "(2 / math.sqrt(math.pi))"),
        (1 / math.sqrt(48), "(1 / math.sqrt(48))"),
        (0.1234567891234, "0.1234567891234"),
        (0.25, "0.25"),
    ],
)
def test_numbers_are_quotients_and_roots(number, text):
    leaves = leaves_of([np.array([0.5, -1.0])])
    with study.record(names=leaves) as run:
        loss = (leaves["a0"] * number).sum()
        loss.backward()
    assert f"a0 * {text}" in run.source()
    assert largest_error(run, [loss], leaves) == 0


def test_the_program_on_the_page_is_the_one_that_its_code_prints(tmp_path, capsys):
    page = (Path(study.__file__).parent / "programs" / "README.md").read_text()
    code, shown = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)[:2]
    path = tmp_path / "example.py"
    path.write_text(code)
    runpy.run_path(str(path))
    assert capsys.readouterr().out.strip() == shown.strip()


def test_cotangents_of_names_of_several_words_are_set_apart():
    names = {"h": "dh", "z_2": "dz_2", "_0_weight": "d_0_weight", "a_b": "d_a_b"}
    assert {name: cotangent_of(name) for name in names} == names


def test_one_value_of_an_axis_is_picked_by_its_index():
    leaves = leaves_of([np.arange(12.0).reshape(3, 4)])
    with study.record(names=leaves) as run:
        row = ops.squeeze(ops.crop(leaves["a0"].detach(), ((1, 1), (0, 0))), 0)
    assert " = a0[1]  #" in run.source()
    assert largest_error(run, [row], {}) == 0


def test_an_op_of_the_users_may_have_the_name_of_a_function_of_programs():
    before = dict(REGISTRY)

    @primitive(lambda g, y, x: g * 3)
    def windows(x):
        triple = 3 * x
        return triple

    REGISTRY.clear()
    REGISTRY.update(before)
    leaves = leaves_of([np.array([0.5, -1.0])])
    with study.record(names=leaves) as run:
        loss = ops.square(windows(leaves["a0"])).sum()
        loss.backward()
    assert "windows_2(a0)" in run.source()
    assert largest_error(run, [loss], leaves) < 1e-15
