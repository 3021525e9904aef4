"""Modules: what is found, saved and moved; the dense layers against PyTorch's."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import minigen as mg
from minigen import nn

FIXTURES = Path(__file__).parent / "fixtures"


def net(**kind):
    return nn.Sequential(
        nn.Linear(5, 7, **kind),
        nn.GELU(),
        nn.LayerNorm(7, dtype=kind.get("dtype", np.float32)),
        nn.Linear(7, 4, bias=False, **kind),
        nn.SiLU(),
        nn.Linear(4, 3, **kind),
    )


def test_a_state_dict_of_pytorchs_gives_its_outputs_and_gradients():
    saved = {k: v.data for k, v in mg.load(FIXTURES / "dense_net.safetensors").items()}
    model = net(dtype=np.float64)
    model.load_state_dict(
        {k.removeprefix("state."): v for k, v in saved.items() if k.startswith("state.")}
    )
    x = mg.tensor(saved["x"], requires_grad=True)
    y = model(x)
    loss = mg.cross_entropy(y, saved["target"], label_smoothing=0.1)
    loss.backward()
    assert np.abs(y.data - saved["y"]).max() < 1e-12
    assert abs(loss.item() - saved["loss"]) < 1e-12
    assert np.abs(x.grad.data - saved["gx"]).max() < 1e-12
    for name, p in model.named_parameters():
        assert np.abs(p.grad.data - saved[f"grad.{name}"]).max() < 1e-12, name


def test_modules_in_lists_tuples_and_dicts_are_found_by_path():
    class Model(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(1, 2), (nn.Linear(2, 3), nn.Linear(3, 4))]
            self.heads = {"a": nn.Linear(1, 1, bias=False)}
            self.scale = nn.Parameter(np.ones(2, np.float32))
            self.register_buffer("seen", np.zeros(3, np.float32))

    names = [name for name, _ in Model().named_parameters()]
    assert names == [
        "scale",
        *(f"layers.{i}.{p}" for i in ("0", "1.0", "1.1") for p in ("weight", "bias")),
        "heads.a.weight",
    ]
    assert list(Model().state_dict()) == [*names, "seen"]


def test_containers_behave_like_the_list_and_the_dict_they_are():
    layers = [nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)]
    sequence, modules = nn.Sequential(*layers), nn.ModuleList(layers)
    assert list(sequence) == list(modules) == layers
    assert sequence[-1] is modules[2] is layers[2]
    assert len(sequence[:2]) == 2
    table = nn.ModuleDict({"a": layers[0]})
    table["b"] = layers[2]
    assert "b" in table and list(table) == ["a", "b"] and len(table) == 2
    assert [n for n, _ in table.named_parameters()] == ["a.weight", "a.bias", "b.weight", "b.bias"]


def test_a_shared_parameter_is_given_once_and_saved_under_both_names():
    class Tied(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.b.weight = self.a.weight

    assert len(Tied().parameters()) == 1
    assert set(Tied().state_dict()) == {"a.weight", "b.weight"}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_an_embedding_takes_any_integers_for_its_index(dtype):
    table = nn.Embedding(300, 2)
    table(np.array([1, 100, 1], dtype)).sum().backward()
    assert table.weight.grad.data[[1, 100, 299]].tolist() == [[2, 2], [1, 1], [0, 0]]


def test_a_frozen_parameter_stays_one():
    model = nn.Linear(2, 2)
    model.requires_grad_(False)
    assert set(model.state_dict()) == {"weight", "bias"}
    assert not model(mg.ones((1, 2))).requires_grad
    model.requires_grad_()
    assert model(mg.ones((1, 2))).requires_grad


def test_a_state_that_does_not_fit_is_refused_whole_with_all_differences():
    model = net()
    before = {k: v.data.copy() for k, v in model.state_dict().items()}
    state = dict(before)
    state["0.weight"] = np.zeros((1, 1), np.float32)
    state["9.weight"] = state.pop("5.bias")
    with pytest.raises(mg.errors.CheckpointError) as error:
        model.load_state_dict(state)
    for part in ("0.weight has shape (1, 1), expected (7, 5)", "5.bias is missing", "9.weight is"):
        assert part in str(error.value)
    assert all(np.array_equal(v.data, before[k]) for k, v in model.state_dict().items())
    model.load_state_dict({"5.bias": np.ones(3, np.float32)}, strict=False)
    assert np.array_equal(model[5].bias.data, np.ones(3))


def test_train_and_eval_reach_every_module_and_dropout_heeds_them():
    model = nn.Sequential(nn.Dropout(0.5, rng=mg.Generator(0)), nn.ModuleList([nn.Dropout(0.2)]))
    x = mg.ones(1000)
    assert 300 < (model[0](x).data == 0).sum() < 700
    assert set(np.unique(model[0](x).data)) == {0, 2}
    model.eval()
    assert model[0](x) is x
    assert not model[1][0].training


def test_moving_to_another_dtype_keeps_the_tensors_and_leaves_integers():
    model = net()
    model.register_buffer("count", np.zeros(2, np.int64))
    weight = model[0].weight
    model.to(mg.float64)
    assert model[0].weight is weight
    assert weight.dtype == np.float64
    assert model.count.dtype == np.int64


def test_initial_weights_are_pytorchs_formula_and_the_seeds():
    a, b = (nn.Linear(100, 50, rng=mg.Generator(3)) for _ in range(2))
    assert np.array_equal(a.weight.data, b.weight.data)
    assert 0.09 < np.abs(a.weight.data).max() <= 0.1
    assert abs(a.weight.data.std() - 0.1 / np.sqrt(3)) < 0.002
    assert abs(nn.Embedding(100, 50, rng=mg.Generator(0)).weight.data.std() - 1) < 0.05


def test_summary_counts_shapes_parameters_and_work():
    text = nn.summary(nn.Sequential(nn.Linear(10, 20), nn.ReLU()), mg.ones((4, 10)))
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["module", "output", "parameters", "FLOPs", "bytes"]
    assert rows[2] == ["0", "(Linear)", "(4,", "20)", "220", "1,600", "320"]
    assert rows[3] == ["1", "(ReLU)", "(4,", "20)", "0", "80", "320"]


def test_a_summary_changes_neither_the_model_nor_the_random_generator():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 2))
    rng, before = mg.default_generator(), {k: x.data.copy() for k, x in model.state_dict().items()}
    model[1].eval()
    state = rng.state
    nn.summary(model, mg.rand(4, 2, rng=mg.Generator(0)))
    nn.summary(model, mg.ones((1, 2)))  # a single example has no variance in training mode
    assert rng.state == state and model.training and not model[1].training
    assert all(np.array_equal(x.data, before[k]) for k, x in model.state_dict().items())


def test_a_summary_shows_the_shapes_within_tuples_and_dicts():
    text = nn.summary(nn.LSTM(4, 3), mg.ones((2, 5, 4)))
    assert "(2, 5, 3), (1, 5, 3), (1, 5, 3)" in text

    class Both(nn.Module):
        def forward(self, x):
            return {"y": x, "z": [x[0], None]}

    assert "(2, 5), (5,), -" in nn.summary(Both(), mg.ones((2, 5)))


@pytest.mark.parametrize("inputs", [(), ((4, 10),)], ids=["none", "shape"])
def test_a_summary_of_a_shape_or_of_nothing_says_what_to_pass(inputs):
    with pytest.raises(TypeError, match=r"summary\(model, mg\.zeros\(shape\)\)"):
        nn.summary(nn.Linear(10, 20), *inputs)
    with pytest.raises(TypeError, match="model must be a module"):
        nn.summary(lambda x: x, mg.ones(3))


def test_a_summary_is_a_table_at_a_prompt_and_in_a_notebook():
    table = nn.summary(nn.Linear(10, 20), mg.ones((4, 10)))
    assert repr(table) == str(table) and "\n" in repr(table)
    root = ElementTree.fromstring(table._repr_html_())
    assert [cell.text for cell in root[1]] == ["Linear", "(4, 20)", "220", "1,600", "320"]


@pytest.mark.parametrize(
    ("module", "function", "target"),
    [
        (nn.MSELoss(), mg.mse_loss, "same"),
        (nn.L1Loss("sum"), lambda x, t: mg.l1_loss(x, t, "sum"), "same"),
        (nn.SmoothL1Loss(beta=0.5), lambda x, t: mg.smooth_l1_loss(x, t, beta=0.5), "same"),
        (nn.HuberLoss(delta=0.5), lambda x, t: mg.huber_loss(x, t, delta=0.5), "same"),
        (nn.BCEWithLogitsLoss(), mg.binary_cross_entropy_with_logits, "same"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), None, "classes"),
        (nn.NLLLoss(), mg.nll_loss, "classes"),
        (nn.KLDivLoss(), mg.kl_div, "same"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_losses_as_modules_are_the_functions(module, function, target):
    rng = mg.Generator(0)
    x = mg.Tensor(rng.normal((4, 3)))
    t = mg.Tensor(rng.uniform((4, 3))) if target == "same" else rng.integers(0, 3, 4)
    function = function or (lambda x, t: mg.cross_entropy(x, t, label_smoothing=0.1))
    assert module(x, t).item() == function(x, t).item()


def test_a_module_shows_what_it_holds():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1))) == (
        "Sequential(\n  (0): Linear(2, 3, bias=True)\n  (1): Dropout(p=0.1)\n)"
    )
