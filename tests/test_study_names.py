"""In which module a recording says that an op ran, and the names of parameters and data."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn, study

X = np.ones((2, 3), np.float32)


def leaf():
    return mg.tensor(X, requires_grad=True)


# ------------------------------------------------------------------------------ modules


class Coder(nn.Module):
    def __init__(self):
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 3)])
        self.decoder = self.encoder[0]

    def hidden(self, x):
        for layer in self.layers:
            x = layer(self.encoder(x) if layer is self.layers[0] else x)
        return x

    def forward(self, x):
        return self.hidden(x) * 2

    def loss(self, x):
        return (self.hidden(x) - x).sum()


def modules_of(run):
    return [(step.op, step.module, step.module_class) for step in run.steps]


@pytest.mark.parametrize("method", ["forward", "loss"])
def test_modules_are_named_by_path(method):
    model = Coder()
    with study.record() as run:
        y = model(mg.tensor(X)) if method == "forward" else model.loss(mg.tensor(X))
        y.sum().backward()
    want = [
        ("linear", "encoder.0", "Linear"),
        ("tanh", "encoder.1", "Tanh"),
        ("linear", "layers.0", "Linear"),
        ("linear", "layers.1", "Linear"),
        ("multiply" if method == "forward" else "subtract", "", "Coder"),
    ]
    assert modules_of(run)[:5] == want
    assert modules_of(run)[-5:] == want[::-1]
    names = [v.name for v in run.values if v.role == "parameter"]
    assert names[:2] == ["encoder_0_weight", "encoder_0_bias"] and names[2] == "layers_0_weight"
    paths = [v.path for v in run.values if v.role == "parameter"]
    assert paths[:2] == ["encoder.0.weight", "encoder.0.bias"]


def test_a_method_of_a_submodule_runs_in_the_submodule():
    class Outer(nn.Module):
        def __init__(self):
            self.inner = Coder()

        def loss(self, x):
            return self.inner.loss(x) + 1

    with study.record() as run:
        Outer().loss(mg.tensor(X))
    assert modules_of(run)[0] == ("linear", "inner.encoder.0", "Linear")
    assert modules_of(run)[-3:] == [
        ("subtract", "inner", "Coder"),
        ("sum", "inner", "Coder"),
        ("add", "", "Outer"),
    ]


def test_several_outermost_modules_are_numbered_by_first_call():
    a, b = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3))
    with study.record() as run:
        (b(a(b(mg.tensor(X)))) + 1).sum().backward()
    assert [s.module for s in run.steps[:4]] == ["m0.0", "m1", "m0.0", ""]
    assert [v.name for v in run.values if v.name][1:] == [
        *("m0_0_weight", "m0_0_bias", "m1_weight", "m1_bias"),
    ]


def test_a_module_made_in_the_forward_of_another_is_inside_it():
    class Maker(nn.Module):
        def forward(self, x):
            x = nn.Linear(3, 3)(x)
            if not hasattr(self, "late"):
                self.late = nn.Linear(3, 3)
            return self.late(x)

    with study.record() as run:
        model = Maker()
        model(model(mg.tensor(X)))
    paths = ["Linear", "late", "Linear", "late"]
    assert [step.module for step in run.steps] == paths
    assert "late_weight" in [v.name for v in run.values]


def test_hooks_run_in_the_module():
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda module, args, y: y * 2)
    with study.record() as run:
        layer(mg.tensor(X))
    assert modules_of(run) == [("linear", "", "Linear"), ("multiply", "", "Linear")]
    assert run.steps[1].code == "layer.register_forward_hook(lambda module, args, y: y * 2)"


# -------------------------------------------------------------------------------- names


def test_names_of_a_dict_win_and_every_name_is_unique():
    a, b, c = leaf(), leaf(), leaf()
    names = {"a.b": a, "a_b": b, "x0": c}
    with study.record(names=names) as run:
        (mg.tensor(X) * a * b * c * X).sum().backward()
    assert [v.name for v in run.values if v.name] == ["x1", "a_b", "a_b_2", "x0", "x2"]


def test_a_name_is_an_identifier_but_no_keyword():
    names = {"lambda": leaf(), "0.weight": leaf(), "größe": leaf(), "a²-b": leaf(), "": leaf()}
    with study.record(names=names) as run:
        for x in names.values():
            x * 2
    found = [v.name for v in run.values if v.name]
    assert found[:3] == ["lambda_", "_0_weight", "größe"] and all(map(str.isidentifier, found))


def test_a_module_names_its_parameters_before_it_is_called():
    model = Coder()
    with study.record(names=model) as run:
        (model.encoder[0].weight * 2).sum()
    assert [v.name for v in run.values if v.name] == ["encoder_0_weight"]
    with study.record() as run:
        penalty = (model.layers[1].weight ** 2).sum()
        (model(mg.tensor(X)).sum() + penalty).backward()
    assert run.values[0].name == "layers_1_weight" and run.values[0].path == "layers.1.weight"


def test_names_that_are_no_names_are_refused_in_a_sentence():
    message = "names is a module, or a dict from names to tensors"
    with pytest.raises(TypeError, match=message), study.record(names={"w": X}):
        pass


def test_a_parameter_met_as_a_constant_first_is_a_parameter():
    layer = nn.Linear(3, 3)
    with study.record() as run:
        layer.weight.detach() * 2
        layer(mg.tensor(X)).sum().backward()
    weight = run.values[0]
    assert (weight.role, weight.name) == ("parameter", "weight")
    assert run.values[run.passes[0].gradients[0]].of == 0


def test_a_frozen_parameter_is_a_buffer_until_it_requires_grad():
    layer = nn.Linear(3, 3)
    layer.weight.requires_grad = False
    with study.record() as run:
        layer(mg.tensor(X))
        layer.weight.requires_grad = True
        layer(mg.tensor(X)).sum().backward()
    weights = [v for v in run.values if v.path == "weight"]
    assert weights[-1].role == "parameter" and weights[-1].number in run.passes[0].gradients


def test_a_line_for_each_step_and_a_table_for_the_run():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with study.record() as run:
        model(mg.tensor(X)).sum().backward()
    assert repr(run) == "Recording of 6 steps with 1 backward pass: 0.0 MB of values"
    site = f"test_study_names.py:{run.steps[1].line}"
    line = "4 backward tanh 1 " + site + " model(mg.tensor(X)).sum().backward()"
    assert repr(run.steps[4]) == line
    assert repr(run.values[1]) == "1 parameter 0.weight (4, 3) float32"
    table = str(run).splitlines()
    assert len(table) == 7 and table[5].split()[:5] == ["4", "backward", "tanh", "(2,4)", "1"]
    with study.record() as run:
        y = leaf()
        for _ in range(100):
            y = y * 2
    assert len(str(run).splitlines()) == 42 and "... 60 more steps" in str(run)
    with study.record() as run:
        pass
    assert str(run) == "Recording of 0 steps with 0 backward passes: 0.0 MB of values"


def test_a_recording_can_be_read_while_it_goes_on():
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    with study.record() as run:
        x = a(mg.tensor(X))
        assert [s.module_class for s in run.steps] == ["Linear"] and "linear" in str(run)
        assert [v.name for v in run.values if v.name] == ["x0", "weight", "bias"]
        b(x).sum().backward()
        assert [s.module for s in run.steps[:2]] == ["m0", "m1"]
    assert [s.module for s in run.steps] == ["m0", "m1", "", "", "m1", "m0"]
    assert [v.name for v in run.values if v.name][:3] == ["x0", "m0_weight", "m0_bias"]


def test_a_name_of_an_array_that_no_op_got_is_told(capsys):
    logits, target = leaf(), mg.tensor([0, 2])
    with study.record(names={"logits": logits, "target": target}) as run:
        mg.cross_entropy(logits, target)
    message = "no op got the array of target: the run does not use it, or uses another array"
    assert message in capsys.readouterr().err
    assert run.values[0].name == "logits"
