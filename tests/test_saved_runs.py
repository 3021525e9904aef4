"""Runs that were saved: the model back in Python, samples without training, nothing overwritten."""

import argparse
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen import models
from minigen.data import Vocabulary
from minigen.errors import CheckpointError
from minigen.random import default_generator
from minigen.training import Run, argument_parser, load_run
from minigen.training.checkpoint import load_state, save_state

ROOT = Path(__file__).parent.parent
# Of minigen 0.1, which kept neither the model's class nor its vocabulary. Of gpt and gan_modes the
# run was stopped after its first step.
EARLIER = Path(__file__).parent / "fixtures/checkpoints"
FLAGS = {
    "gpt": "--layers 1 --heads 2 --width 8 --context 8 --batch 4 --steps 3 --epochs 2",
    "char_lstm": "--embed 4 --hidden 4 --context 8 --batch 4 --steps 3 --epochs 2",
    "seq2seq": "--pairs 200 --layers 1 --width 8 --epochs 1",
    "vae": "--latent 2 --hidden 2 --conditional --epochs 2",
    "rnn": "--hidden 4 --epochs 2",
    "gan_modes": "--width 4 --steps 3 --epochs 2",
}
DATA = {"gpt": "text.txt", "char_lstm": "text.txt", "vae": "digits", "rnn": "digits"}


def example(name, monkeypatch, *flags):
    """Run an example in this process, on the CPU, with results in the folder of its name."""
    script = str(ROOT / "examples" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, "--out", name, "--device", "cpu", *flags])
    runpy.run_path(script, run_name="__main__")


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A copy of the earlier checkpoints, which is the current folder."""
    shutil.copytree(EARLIER, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


@pytest.mark.parametrize("name", FLAGS)
def test_a_checkpoint_of_an_earlier_release_loads_draws_and_resumes(name, earlier, monkeypatch):
    before = load_state(earlier / name / "checkpoint.safetensors")
    model = load_run(name)
    assert all(np.array_equal(x.data, before["model"][k]) for k, x in model.state_dict().items())
    example(name, monkeypatch, "--sample")
    assert (earlier / name / "curves.png").exists()
    data = ["--data", DATA[name]] if name in DATA else []
    example(name, monkeypatch, "--resume", *data, *FLAGS[name].split())
    rows = [json.loads(x) for x in (earlier / name / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    state = load_state(earlier / name / "checkpoint.safetensors")
    assert state["epoch"] == len(rows) == (1 if name == "seq2seq" else 2)
    if state["step"] > before["step"]:  # it has trained, and so described its model
        assert "description" in state
        example(name, monkeypatch, "--sample", "--seed", "3")
        assert (earlier / name / "curves-3.png").exists()


def train(out, model, settings=None, kept=None, **changes):
    """One step of any model, saved in out."""
    args = argument_parser("", out=str(out), epochs=1).parse_args([])
    args = argparse.Namespace(**{**vars(args), "device": "cpu", **changes})
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    state = {"model": model, "optimizer": optimizer, "rng": mg.Generator(0)}
    with Run(args, **state, settings=settings, kept=kept) as run:
        for _ in run.epochs():
            for _ in run.steps(1):
                run.record(loss=1.0)
            run.end_epoch()
    return run


TINY = {
    "VAE": {"latent": 2, "hidden": 3, "classes": 4, "pixels": 6},
    "ConvVAE": {"latent": 2, "hidden": 3, "side": 8, "widths": (2, 3)},
    "CNN": {"classes": 3, "side": 8, "widths": (2, 3), "hidden": 4},
    "LSTMClassifier": {"input_size": 3, "hidden": 4, "classes": 2},
    "CharLSTM": {"vocabulary": 3, "embed": 2, "hidden": 4, "layers": 2},
    "Generator": {"latent": 2, "hidden": (3,), "pixels": 4},
    "Discriminator": {"pixels": 4, "hidden": (3,)},
    "DCGenerator": {"latent": 2, "width": 2, "side": 8},
    "DCDiscriminator": {"width": 2, "side": 8},
    "MLP": {"sizes": [2, 3, 1]},
    "GPT": {"vocab": 3, "context": 4, "layers": 1, "heads": 1, "width": 4, "tied": False},
    "Seq2SeqTransformer": {"source_vocab": 5, "target_vocab": 6, "width": 8, "hidden": 4},
    "TransformerClassifier": {"vocab": 5, "classes": 2, "width": 8, "hidden": 4},
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_model_comes_back_in_its_dtype(name, dtype, tmp_path):
    model = getattr(models, name)(**TINY[name], dtype=dtype)
    train(tmp_path, model, TINY[name])
    before = default_generator().state
    loaded = load_run(tmp_path)
    assert default_generator().state == before
    assert type(loaded) is type(model)
    assert not any(part.training for _, part in loaded.named_modules())
    pairs = zip(loaded.state_dict().items(), model.state_dict().items(), strict=True)
    for (a, x), (b, y) in pairs:
        assert (a, x.dtype) == (b, y.dtype)
        assert np.array_equal(x.data, y.data)
    assert load_run(str(tmp_path / "checkpoint.safetensors")).state_dict().keys()


def test_several_networks_come_back_by_their_names(tmp_path):
    mlp = lambda: models.MLP([2, 3])
    nested = mg.nn.ModuleDict({"a": mlp(), "b": mg.nn.ModuleDict({"c": mlp()})})
    train(tmp_path, nested, {"a": {"sizes": [2, 3]}, "b": {"c": {"sizes": [2, 3]}}})
    loaded = load_run(tmp_path)
    assert np.array_equal(loaded["b"]["c"][0].weight.data, nested["b"]["c"][0].weight.data)


def test_a_model_of_text_has_its_vocabulary(tmp_path):
    settings = {"vocab": 3, "context": 4, "layers": 1, "heads": 1, "width": 4}
    train(tmp_path / "gpt", models.GPT(**settings), settings, {"vocabulary": "abé"})
    model = load_run(tmp_path / "gpt")
    text = model.vocabulary.decode(model.generate(model.vocabulary.encode("éa")[None], 5)[0])
    assert len(text) == 7
    assert set(text) <= set("abé")
    sizes = TINY["Seq2SeqTransformer"]
    kept = {"source_vocabulary": "abcde", "target_vocabulary": "uvwxyz"}
    train(tmp_path / "seq2seq", models.Seq2SeqTransformer(**sizes), sizes, kept)
    loaded = load_run(tmp_path / "seq2seq")
    assert isinstance(loaded.target_vocabulary, Vocabulary)
    assert loaded.target_vocabulary.characters == "uvwxyz"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kept": {"vocabulary": "ab"}}, "vocabulary of 2 is not that of its model, 3"),
        ({"kept": {"vocabulary": "cba"}}, "vocabulary"),
        ({"kept": {"vocabulary": 7}}, "is no checkpoint of a run"),
        ({"kept": 3}, "is no checkpoint of a run"),
        ({"description": None}, "does not say of which model"),
        ({"description": {"class": "os.system", "arguments": {}}}, "minigen.models lacks"),
        ({"description": {"class": "Module", "arguments": {}}}, "minigen.models lacks"),
        ({"description": {"class": "GPT", "arguments": {"vocab": "x"}}}, "no checkpoint of a run"),
        ({"description": {"class": "GPT", "arguments": {"vocab": 10**9}}}, "a size of 1000000000"),
        ({"description": {"class": "MLP", "arguments": {"sizes": [2, 3]}}}, "does not fit MLP"),
        ({"description": {"parts": {"a": {"class": "MLP"}}}}, "is no checkpoint of a run"),
        ({"description": []}, "checkpoint"),
        ({"model": {}}, "checkpoint"),
        ({"model": None}, "is no checkpoint of a run"),
        ({"history": 5}, "is no checkpoint of a run"),
        ({"config": None}, "is no checkpoint of a run"),
    ],
)
def test_a_checkpoint_that_gives_no_model_is_refused(changes, says, tmp_path):
    settings = {"vocab": 3, "context": 4, "layers": 1, "heads": 1, "width": 4}
    train(tmp_path, models.GPT(**settings), settings, {"vocabulary": "abc"})
    path = tmp_path / "checkpoint.safetensors"
    save_state(path, {**load_state(path), **changes})
    with pytest.raises(CheckpointError, match=says) as refused:
        load_run(tmp_path)
    assert str(path) in str(refused.value)


def test_what_is_no_checkpoint_of_a_run_is_refused(tmp_path):
    for name in ("no/folder", "", "weights.safetensors"):
        mg.save(tmp_path / "weights.safetensors", {"w": mg.ones(2)})
        with pytest.raises(CheckpointError, match=r"no such file|the state of a training run"):
            load_run(tmp_path / name)
    save_state(tmp_path / "list", [1, 2])
    with pytest.raises(CheckpointError, match="is no checkpoint of a run"):
        load_run(tmp_path / "list")


@pytest.mark.parametrize("kept", ["checkpoint.safetensors", "metrics.jsonl"])
def test_a_new_run_refuses_to_overwrite_another(kept, tmp_path):
    model = models.MLP([2, 1])
    train(tmp_path, model)
    for path in tmp_path.iterdir():
        if path.name != kept:
            path.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=r"--resume goes on .*--overwrite replaces it"):
        train(tmp_path, model)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert train(tmp_path, model, overwrite=True).epoch == 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--sample", "--hidden", "5"], "--hidden is 4, not 5"),
        (["--sample", "--resume"], "not allowed with argument"),
        (["--resume", "--overwrite"], "not allowed with argument"),
    ],
)
def test_flags_that_contradict_the_run_are_refused(flags, says, earlier, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        example("rnn", monkeypatch, *flags)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


def test_sampling_from_another_examples_run_or_from_none_is_refused(earlier, monkeypatch):
    shutil.rmtree("vae")
    Path("rnn").rename("vae")
    with pytest.raises(SystemExit, match="is of rnn, not of vae"):
        example("vae", monkeypatch, "--sample")
    with pytest.raises(SystemExit, match="no such file"):
        example("rnn", monkeypatch, "--sample")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("prefix", ["model.", "module.", "a.b."])
def test_a_state_whose_names_have_a_prefix_says_what_to_do(prefix, strict, tmp_path):
    model = models.MLP([2, 3, 1])
    before = model[0].weight.data.copy()
    if prefix == "model.":
        train(tmp_path, models.MLP([2, 3, 1]))
        state = mg.load(tmp_path / "checkpoint.safetensors")
    else:
        state = {prefix + k: x * 2 for k, x in model.state_dict().items()}
    with pytest.raises(CheckpointError) as refused:
        model.load_state_dict(state, strict)
    assert np.array_equal(model[0].weight.data, before)
    assert "load_run(path)" in str(refused.value)
    remedy = str(refused.value).partition("pass ")[2].partition(", or take")[0]
    model.load_state_dict(eval(remedy, {"state": state}))
    assert not np.array_equal(model[0].weight.data, before)
