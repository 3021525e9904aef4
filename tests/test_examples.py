"""Each example runs, in a small setting, and leaves what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIGURES = {
    "vae": ["samples", "reconstructions", "traversal", "curves"],
    "rnn": ["predictions", "curves"],
    "gpt": ["attention", "curves"],
    "seq2seq": ["cross-attention", "curves"],
}
TINY = {
    "vae": ["--hidden", "32"],
    "rnn": ["--hidden", "32"],
    "gpt": ["--steps", "3", "--layers", "1", "--heads", "2", "--width", "8", "--data", "TEXT"],
    "seq2seq": ["--pairs", "300", "--layers", "1", "--width", "8"],
}


def run(name, out, *flags):
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--out", str(out), *flags]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("vae", []),
        ("vae", ["--conditional", "--beta", "2", "--latent", "2"]),
        ("rnn", []),
        ("gpt", []),
        ("seq2seq", []),
        ("seq2seq", ["--data", "PAIRS"]),
    ],
)
def test_an_example_trains_draws_and_resumes(name, flags, tmp_path):
    (tmp_path / "TEXT").write_text("To be, or not to be.\n" * 100)
    (tmp_path / "PAIRS").write_text("".join(f"{i}\t{2 * i}\n" for i in range(200)))
    given = [str(tmp_path / flag) if flag.isupper() else flag for flag in (*TINY[name], *flags)]
    small = ["--epochs", "1", "--device", "cpu", *given]
    first = run(name, tmp_path, *small)
    assert first.returncode == 0, first.stderr
    assert "epoch   1/1" in first.stdout
    for figure in FIGURES[name]:
        assert (tmp_path / f"{figure}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    again = run(name, tmp_path, *small, "--resume")
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("name", FIGURES)
def test_an_example_explains_itself(name):
    text = run(name, "unused", "--help").stdout
    for flag in ("--data", "--device", "--seed", "--epochs", "--out", "--resume", "--max-seconds"):
        assert flag in text
    assert len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--data", "no/such/folder"], "DatasetError: MNIST is not complete in no/such/folder"),
        (["--device", "cuda:77"], "BackendUnavailable: device 'cuda"),
        (["--resume"], "CheckpointError: "),
        (["--epochs", "0"], "must be at least 1"),
    ],
)
def test_what_the_user_can_mend_is_said_in_one_sentence(flags, says, tmp_path):
    result = run("vae", tmp_path, *flags)
    assert result.returncode in (1, 2)
    assert says in result.stderr
    assert "Traceback" not in result.stderr
