"""Where a recording says that an op ran: lines of the user's code, and texts of rules."""

import linecache
import runpy

import numpy as np

import minigen as mg
from minigen import study
from minigen.autodiff.fused import Fused
from minigen.autodiff.primitives import REGISTRY
from minigen.models import VAE
from minigen.study.rule_texts import residual_names, rules_text, text_of

X = np.ones((2, 3), np.float32)


def leaf():
    return mg.tensor(X, requires_grad=True)


# ------------------------------------------------------------------------ lines of code


def test_each_step_has_the_users_line(tmp_path):
    script = tmp_path / "train it.py"
    script.write_text(
        "import minigen as mg\n"
        "def squared(x):\n"
        "    return x * x\n"
        "w = mg.tensor([1.0, 2.0], requires_grad=True)\n"
        "double = lambda x: x + x\n"
        "y = mg.tanh(\n"
        "    squared(\n"
        "        double(w)\n"
        "    )\n"
        ")\n"
        "parts = [mg.exp(y) for _ in range(2)]\n"
        "total = sum(p.sum() for p in parts)\n"
        "total.backward()\n"
    )
    with study.record() as run:
        runpy.run_path(str(script))
    code = {(step.op, step.kind): (step.site, step.code) for step in run.steps}
    assert code["multiply", "forward"] == ("train it.py:3", "return x * x")
    assert code["add", "backward"] == ("train it.py:5", "double = lambda x: x + x")
    assert code["tanh", "backward"] == ("train it.py:6", "y = mg.tanh(")
    assert code["exp", "forward"] == ("train it.py:11", "parts = [mg.exp(y) for _ in range(2)]")
    assert run.passes[0].file == str(script) and run.passes[0].line == 13


def executed(text, filename):
    """Names defined by a text that is executed as a cell of a notebook, or of a REPL."""
    if not filename.startswith("<std"):  # a REPL keeps no source
        linecache.cache[filename] = len(text), None, text.splitlines(keepends=True), filename
    names = {"mg": mg, "np": np}
    exec(compile(text, filename, "exec"), names)
    return names


CELL = (
    "scale = mg.primitive(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, saves=('b', 'a'))\n"
    "@scale\n"
    "def scaled(a, b):\n"
    "    return np.multiply(a, b)\n"
    "w = mg.tensor([1.0, 2.0], requires_grad=True)\n"
    "v = mg.tensor([3.0, 4.0], requires_grad=True)\n"
    "y = scaled(w, v).sum()\n"
    "y.backward()\n"
)


def test_cells_of_a_notebook_have_lines_and_rules():
    with study.record() as run:
        executed(CELL, "<ipython-input-7-abc>")
    assert [s.code for s in run.steps][:2] == ["y = scaled(w, v).sum()"] * 2
    assert run.steps[0].site == "<ipython-input-7-abc>:7"
    assert run.steps[-1].op == "scaled"
    assert run.steps[-1].rule == "lambda g, y, a, b: g * b\nlambda g, y, a, b: g * a"
    assert run.steps[0].rule == "def scaled(a, b):\n    return np.multiply(a, b)"


def test_code_without_source_is_recorded_without_texts():
    with study.record() as run:
        executed(CELL, "<stdin>")
    assert len(run.steps) == 4
    assert all(s.site == "<stdin>:7" and s.code == "" for s in run.steps)
    assert [s.rule for s in run.steps if s.op == "scaled"] == ["", ""]


def test_numpy_functions_of_tensors_are_on_the_users_line():
    with study.record() as run:
        np.mean(leaf())
    assert run.steps and all(step.code == "np.mean(leaf())" for step in run.steps)


def test_models_of_the_package_are_the_users_code():
    model = VAE(2, 4, pixels=3)
    with study.record() as run:
        model.loss(mg.tensor(X))[0].backward()
    assert all(step.site.startswith("vae.py:") for step in run.steps)


# ------------------------------------------------------------------------ texts of rules


def functions(op):
    if isinstance(op, Fused):
        return [op.forward, op.definition, op.backward]
    return [op.forward, *getattr(op, "rules", ())]


def facts(code):
    numbers = [x for x in code.co_consts if isinstance(x, int | float | tuple)]
    return code.co_names, code.co_varnames, numbers


def test_the_text_of_every_function_of_an_op_is_its_own():
    for op in list(REGISTRY.values()):
        for function in filter(None, functions(op)):
            text = text_of(function)
            is_lambda = text.startswith("lambda")
            made = compile(text, "x", "eval" if is_lambda else "exec").co_consts
            while hasattr(function, "__wrapped__"):
                function = function.__wrapped__
            assert is_lambda == (function.__name__ == "<lambda>")
            assert facts(next(c for c in made if hasattr(c, "co_code"))) == facts(function.__code__)


def test_lambdas_on_one_line_and_in_each_other_are_told_apart():
    a, b = lambda g, y, x: g * 2.0, lambda g, y, x: g * 3.0
    outer = lambda k: lambda g: g * k
    assert text_of(a) == "lambda g, y, x: g * 2.0" and text_of(b) == "lambda g, y, x: g * 3.0"
    assert text_of(outer) == "lambda k: lambda g: g * k" and text_of(outer(2)) == "lambda g: g * k"
    assert text_of(np.tanh) == text_of(None) == ""


def test_a_fused_op_without_a_backward_shows_its_definition():
    @mg.fused(lambda x: x * x, None)
    def doubled(x):
        return x * x, ()

    op = doubled.op
    assert rules_text(op, [True], False) == rules_text(op, [True], True) == "lambda x: x * x"


def test_the_rule_of_a_fused_op_begins_with_its_definition():
    linear = rules_text(REGISTRY["linear"], [True, False, True], False)
    assert linear.startswith("def _linear(") and "x @ weight.T + bias" in linear
    assert linear.count("lambda") == 2 and "def _linear_backward(" in linear
    assert "def _linear_backward(" not in rules_text(REGISTRY["linear"], [True] * 3, True)


def test_a_rule_that_calls_an_inner_op_shows_what_that_computes():
    assert "g where y = relu(x) is positive" in rules_text(REGISTRY["relu"], [True], False)
    assert "sigmoid(x) - t" in rules_text(REGISTRY["_bce_with_logits"], [True, False], False)


def test_residuals_have_the_names_that_backward_reads():
    assert residual_names(REGISTRY["_cross_entropy"]) == ("lse", "factor")
    assert residual_names(REGISTRY["gaussian_sample"]) == ("std",)
    assert residual_names(REGISTRY["relu"]) == residual_names(None) == ()
