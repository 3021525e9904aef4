"""Runs on several ranks: the metrics of one process, one folder, Ctrl-C, resuming, refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi_runs import run_ranks, start_ranks

from minigen.training.checkpoint import load_state

ROOT = Path(__file__).parent.parent
SIZES = ["--layers", "1", "--heads", "2", "--width", "8", "--context", "16", "--batch", "5"]


def gpt(out, *flags):
    """The words of a command line that trains a small GPT for two epochs of 20 steps."""
    text = out.parent / "text"
    text.write_text("To be, or not to be.\n" * 100)
    small = [*SIZES, "--steps", "20", "--epochs", "2", "--data", str(text), "--device", "cpu"]
    return [str(ROOT / "examples" / "gpt.py"), *small, "--out", str(out), *flags]


def alone(words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment)


def rows(out):
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines]


def weights(out):
    return load_state(out / "checkpoint.safetensors")["model"]


def assert_same(out, other, tolerance):
    for row, its in zip(rows(out), rows(other), strict=True):
        assert row == pytest.approx(its, rel=tolerance)
    mine, theirs = weights(out), weights(other)
    for name, x in mine.items():
        np.testing.assert_allclose(x, theirs[name], atol=tolerance, rtol=tolerance)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Undisturbed runs of one process and of two ranks, and what the two have printed."""
    folder = tmp_path_factory.mktemp("runs")
    finished = run_ranks(gpt(folder / "two"), 2)
    alone(gpt(folder / "one"))
    return folder, finished


def test_two_ranks_train_as_one_process_and_rank_0_alone_prints_and_saves(whole):
    folder, finished = whole
    assert_same(folder / "two", folder / "one", 1e-5)
    assert finished.stdout.count("epoch   1/2") == 1
    assert "rank" not in finished.stderr
    names = {path.name for path in (folder / "one").iterdir()}
    assert {path.name for path in (folder / "two").iterdir()} == names


def test_ctrl_c_on_one_rank_saves_and_ends_all_and_the_run_goes_on_bit_for_bit(whole, tmp_path):
    folder, _ = whole
    words = gpt(tmp_path / "run", "--steps", "4000")
    started = start_ranks(words, 2, folder=tmp_path)
    while not (tmp_path / "run").exists() and started.process.poll() is None:
        time.sleep(0.05)
    time.sleep(1)
    os.kill(started.ranks()[1], signal.SIGINT)
    finished = started.finish()
    assert finished.returncode == 130, finished.output
    assert "stopped at step" in finished.stdout and not finished.orphans
    stopped = run_ranks(gpt(folder / "two again", "--max-seconds", "0"), 2)
    assert "stopped at step" in stopped.stdout
    run_ranks(gpt(folder / "two again", "--resume"), 2)
    assert_same(folder / "two again", folder / "two", 0)


def test_what_two_ranks_have_saved_three_go_on_with(whole, tmp_path):
    folder, _ = whole
    run_ranks(gpt(tmp_path / "run", "--max-seconds", "0"), 2)
    run_ranks(gpt(tmp_path / "run", "--resume"), 3)
    assert_same(tmp_path / "run", folder / "one", 1e-5)


def test_a_folder_with_a_run_is_refused_once_and_so_are_other_flags_on_a_rank(whole, tmp_path):
    folder, _ = whole
    refused = run_ranks(gpt(folder / "two"), 2, expect=None)
    assert refused.returncode == 1, refused.output
    assert refused.output.count("has a run already") == 1
    script = tmp_path / "differs.py"
    script.write_text(
        "import os, runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "if os.environ.get('PMI_RANK', os.environ.get('OMPI_COMM_WORLD_RANK')) == '1':\n"
        "    sys.argv += ['--width', '16']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    refused = run_ranks([str(script), *gpt(tmp_path / "run")], 2, expect=None)
    assert refused.returncode == 1, refused.output
    assert refused.output.count("--width is 16 on rank 1, 8 on rank 0") == 1
    assert not (tmp_path / "run").exists()
