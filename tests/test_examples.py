"""Each example runs in a small setting and writes the files that its docstring lists."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minigen as mg
from minigen.data import glyphs
from minigen.data.mnist_files import NAMES
from minigen.data.sound import tones, write_wav
from minigen.models import CNN
from minigen.training import load_run
from minigen.training.checkpoint import load_state, save_state

ROOT = Path(__file__).parent.parent
FIGURES = {
    "vae": ["samples", "reconstructions", "traversal", "curves"],
    "rnn": ["predictions", "curves"],
    "cnn": ["predictions", "saliency", "curves"],
    "gan": ["samples", "walks", "curves"],
    "diffusion": ["samples", "steps", "curves"],
    "char_lstm": ["curves"],
    "gan_modes": ["samples", "curves"],
    "gpt": ["attention", "curves"],
    "seq2seq": ["cross-attention", "curves"],
    "augment": ["accuracy", "generated-10", "generated-20"],
    "table": ["predictions", "curves"],
    "speech": ["confusion", "predictions", "curves"],
    "sound": ["spectrograms", "curves"],
}
TINY = {
    "vae": ["--hidden", "32"],
    "rnn": ["--hidden", "32", "--data", "DIGITS"],
    "gpt": ["--steps", "3", "--layers", "1", "--heads", "2", "--width", "8", "--data", "TEXT"],
    "cnn": ["--hidden", "16", "--data", "DIGITS"],
    "gan": ["--data", "DIGITS", "--judge", "NONE"],
    "diffusion": ["--widths", "8", "8", "--steps", "1", "--data", "DIGITS"],
    "char_lstm": ["--steps", "3", "--embed", "4", "--hidden", "8", "--data", "TEXT"],
    "gan_modes": ["--steps", "3", "--width", "8"],
    "seq2seq": ["--pairs", "200", "--layers", "1", "--width", "8"],
    "table": ["--hidden", "8"],
    "speech": ["--data", "SOUNDS"],
    "sound": ["--widths", "8", "--steps", "1", "--data", "SOUNDS"],
    "augment": ["--seeds", "2", "--steps", "2", "--generator-steps", "1", "--data", "DIGITS"],
}


def small_pictures(folder, classes):
    """Coloured pictures of odd sizes, four in the subfolder of each class."""
    rng = np.random.default_rng(0)
    for i in range(4 * classes):
        path = folder / f"the kind of {i % classes:03}" / f"{i}.{'PNG' if i % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + i % 29, 64, 3), np.uint8)).save(path)
    return str(folder)


def run(name, out, *flags):
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--out", str(out), *flags]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def small_data(folder):
    """Write a text TEXT, texts PAIRS, IDX files of 500 + 60 digits in DIGITS, and SOUNDS."""
    (folder / "SOUNDS").mkdir()
    for i, x in enumerate(tones(15)[0]):
        write_wav(folder / "SOUNDS" / f"{'abc'[i % 3]}_v{i // 3}_0.wav", x)
    (folder / "TEXT").write_text("To be, or not to be.\n" * 100)
    (folder / "PAIRS").write_text("".join(f"{i}\t{2 * i}\n" for i in range(200)))
    (folder / "DIGITS").mkdir()
    images, labels = glyphs(3_000)
    images, labels = images[labels < 10], labels[labels < 10].astype(np.uint8)
    parts = images[:500], labels[:500], images[500:560], labels[500:560]
    for name, x in zip(NAMES, parts):
        head = bytes([0, 0, 8, x.ndim]) + np.array(x.shape, ">u4").tobytes()
        (folder / "DIGITS" / name).write_bytes(head + x.tobytes())


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("vae", []),
        ("vae", ["--conditional", "--beta", "2", "--latent", "2", "--data", "DIGITS"]),
        ("vae", ["--arch", "conv", "--conditional", "--data", "DIGITS"]),
        ("rnn", []),
        ("gpt", []),
        ("cnn", []),
        ("gan", []),
        ("gan", ["--arch", "dc"]),
        ("diffusion", []),
        ("char_lstm", []),
        ("gan_modes", []),
        ("seq2seq", []),
        ("seq2seq", ["--data", "PAIRS"]),
        ("table", []),
        ("speech", []),
        ("sound", []),
    ],
)
def test_an_example_trains_draws_resumes_and_draws_again(name, flags, tmp_path, monkeypatch):
    small_data(tmp_path)
    flags = [str(tmp_path / flag) if flag.isupper() else flag for flag in (*TINY[name], *flags)]
    small = ["--epochs", "1", "--device", "cpu", *flags]
    first = run(name, tmp_path, *small)
    assert first.returncode == 0, first.stderr
    assert "epoch   1/1" in first.stdout
    for figure in FIGURES[name]:
        assert (tmp_path / f"{figure}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    again = run(name, tmp_path, *small, "--resume")
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    draws_without_data_or_training(name, tmp_path, monkeypatch)


def draws_without_data_or_training(name, out, monkeypatch):
    """--sample draws the same files again, other ones with --seed; load_run gives the model."""
    for path in (out / "TEXT", out / "PAIRS"):
        path.unlink(missing_ok=True)
    shutil.rmtree(out / "DIGITS", ignore_errors=True)
    shutil.rmtree(out / "SOUNDS", ignore_errors=True)
    drawn = {path.name: path.read_bytes() for path in (*out.glob("*.png"), *out.glob("*.wav"))}
    if (out / "sample.txt").exists():
        drawn["sample.txt"] = (out / "sample.txt").read_bytes()
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.name not in drawn}
    for path in drawn:
        (out / path).unlink()
    again = in_process(name, out, monkeypatch, "--sample")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == drawn | before
    assert "epoch" not in again
    in_process(name, out, monkeypatch, "--sample", "--seed", "7")
    others = {p.name: p.read_bytes() for p in out.iterdir() if p.name not in {*drawn, *before}}
    assert others.keys() == {path.replace(".", "-7.") for path in drawn}
    random = {"samples.png", "sample.txt", "generated-20.png", "sample-a-1.wav"} & drawn.keys()
    assert all(others[path.replace(".", "-7.")] != drawn[path] for path in random)
    model = load_run(out)
    assert not model.training
    state = load_state(out / "checkpoint.safetensors")["model"]
    assert state.keys() == model.state_dict().keys()
    assert all(np.array_equal(x.data, state[k]) for k, x in model.state_dict().items())


def in_process(name, out, monkeypatch, *flags):
    """What an example prints, run in this process, which is quicker."""
    script = str(ROOT / "examples" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, "--out", str(out), "--device", "cpu", *flags])
    with redirect_stdout(StringIO()) as printed:
        runpy.run_path(script, run_name="__main__")
    return printed.getvalue()


def test_a_gan_is_judged_by_a_classifier_of_the_same_data(tmp_path):
    small_data(tmp_path)
    tiny = ["--data", str(tmp_path / "DIGITS"), "--epochs", "1", "--device", "cpu"]
    alone = run("gan", tmp_path / "gan", *tiny, "--judge", "none")
    assert "no judge at none: train one by `python examples/cnn.py --data" in alone.stdout
    weights = CNN(10, rng=mg.Generator(0)).state_dict()
    for data, name in ((str(tmp_path / "DIGITS"), "same"), ("glyphs", "other")):
        save_state(
            tmp_path / name,
            {
                "config": {"example": "cnn", "data": data, "hidden": 128},
                "model": weights,
                "history": [],
            },
        )
    flags = [*tiny, "--resume", "--judge"]
    judged = run("gan", tmp_path / "gan", *flags, str(tmp_path / "same"))
    assert judged.returncode == 0, judged.stderr
    assert "per cent of 2000 samples in each class" in judged.stdout
    assert "Frechet distance to test images: " in judged.stdout
    refused = run("gan", tmp_path / "gan", *flags, str(tmp_path / "other"))
    assert refused.returncode == 1
    assert f"{tmp_path / 'other'} is of cnn on glyphs, not of cnn on" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_augment_resumes_within_a_trial_and_prints_the_table_of_all_trials(tmp_path, monkeypatch):
    small_data(tmp_path)
    tiny = [str(tmp_path / flag) if flag.isupper() else flag for flag in TINY["augment"]]
    tiny += ["--device", "cpu", "--budgets", "10", "20"]  # of 500 + 60 digits
    uninterrupted = run("augment", tmp_path / "a", *tiny)
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    assert "the mean over 2 seeds" in uninterrupted.stdout
    for figure in FIGURES["augment"]:
        assert (tmp_path / "a" / f"{figure}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    stopped = run("augment", tmp_path / "b", *tiny, "--max-seconds", "0")
    assert "stopped at step 1" in stopped.stdout  # of three in a trial, after that of the generator
    again = run("augment", tmp_path / "b", *tiny, "--resume")
    assert again.returncode == 0, again.stderr
    table = lambda text: text.splitlines()[-5:-1]
    assert table(again.stdout) == table(uninterrupted.stdout)
    a, b = ((tmp_path / x / "metrics.jsonl").read_text().splitlines() for x in "ab")
    a, b = ([{**json.loads(line), "seconds": 0} for line in lines] for lines in (a, b))
    assert a == b
    assert [(row["budget"], row["seed"]) for row in a] == [(10, 0), (20, 0), (10, 1), (20, 1)]
    (tmp_path / "b/generated-10.png").unlink()  # of the VAE before the last, which is not kept
    draws_without_data_or_training("augment", tmp_path / "b", monkeypatch)
    refused = run("augment", tmp_path, *tiny, "--budgets", "20", "9")
    assert "argument --budgets: expected 10 to 500, got 9\n" in refused.stderr


@pytest.mark.parametrize(
    ("name", "classes", "flags"),
    [
        ("vae", 1, []),
        ("vae", 40, ["--conditional"]),
        ("cnn", 12, []),
        ("rnn", 3, []),
        ("gan", 2, []),
        (
            "augment",
            3,
            ["--budgets", "6", "--seeds", "2", "--steps", "2", "--generator-steps", "1"],
        ),
    ],
)
def test_an_example_trains_on_folders_of_pictures(name, classes, flags, tmp_path, monkeypatch):
    pictures = small_pictures(tmp_path / "my pictures ü", classes)
    said = in_process(name, tmp_path, monkeypatch, "--data", pictures, "--epochs", "2", *flags)
    assert f"{classes} classes, {3 * classes} pictures for training, {classes} for test" in said
    for figure in FIGURES[name] if name != "augment" else ["accuracy", "generated-6"]:
        assert (tmp_path / f"{figure}.png").stat().st_size > 0


def test_a_table_of_classes_is_classified_and_compared_with_the_most_frequent(
    tmp_path, monkeypatch
):
    names = [r"$\x$ 日本", "red", "red"]
    rows = "".join(f"{i},{names[i % 3]},{i % 3}\n" for i in range(99))
    (tmp_path / "my täble.csv").write_text("number,colour,class\n" + rows, encoding="utf-8")
    flags = ["--data", str(tmp_path / "my täble.csv"), "--epochs", "20", "--target", "colour"]
    train = lambda out, *more: in_process("table", tmp_path / out, monkeypatch, *flags, *more)
    said = train("a")
    assert "test accuracy 100.00 %; always the most frequent class: 65.00 %" in said
    assert (tmp_path / "a" / "confusion.png").stat().st_size > 0
    with pytest.raises(SystemExit):
        train("b", "--max-seconds", "0")
    train("b", "--resume")
    a, b = ((tmp_path / x / "metrics.jsonl").read_text().splitlines() for x in "ab")
    a, b = ([{**json.loads(line), "seconds": 0} for line in lines] for lines in (a, b))
    assert a == b
    with pytest.raises(
        SystemExit, match="expected a column 'size', got columns 'number', 'colour'"
    ):
        train("c", "--target", "size")


@pytest.mark.parametrize("name", FIGURES)
def test_help_lists_the_common_flags_and_the_file_has_at_most_150_lines(name):
    text = run(name, "unused", "--help").stdout
    for flag in ("--data", "--device", "--seed", "--epochs", "--out", "--resume", "--max-seconds"):
        assert flag in text
    assert len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    ("name", "flags", "says"),
    [
        (
            "vae",
            ["--data", "no/folder"],
            "DatasetError: --data no/folder: expected glyphs (no files needed), mnist",
        ),
        ("vae", ["--device", "cuda:77"], "BackendUnavailable: device 'cuda"),
        ("vae", ["--resume"], "CheckpointError: "),
        ("vae", ["--epochs", "0"], "must be a whole number of at least 1"),
        ("char_lstm", ["--data", "no/text"], "DatasetError: no/text: expected a text file"),
        ("char_lstm", ["--steps", "0"], "must be a whole number of at least 1"),
        ("table", ["--data", "no.csv"], "DatasetError: no.csv: expected a text file"),
        ("gan_modes", ["--data", "mnist"], "there is only the grid, which is made, not 'mnist'"),
        ("augment", ["--seeds", "1"], "argument --seeds: invalid choice: 1"),
    ],
)
def test_errors_of_the_user_end_with_one_sentence(name, flags, says, tmp_path):
    result = run(name, tmp_path, *flags)
    assert result.returncode in (1, 2)
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_the_lesson_on_study_shows_a_step_and_writes_its_files(tmp_path):
    result = run("study", tmp_path / "study")
    assert result.returncode == 0, result.stderr
    assert "Recording of 12 steps with 1 backward pass" in result.stdout
    assert "the rule of sigmoid is  lambda g, y, x: g * (y * (1 - y))" in result.stdout
    assert "rate 30.0" in result.stdout and "100% of units dead" in result.stdout
    assert "has died" in result.stdout and "minigen" not in result.stdout.partition("5. ")[0]
    files = {"step.html", "step.py", "memory.png", "roofline.png", "second.html", "watch.png"}
    assert {path.name for path in (tmp_path / "study").iterdir()} == files
