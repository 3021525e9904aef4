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


IN_FLOAT64 = """
import numpy as np
import minigen as mg
from minigen import distributed, nn
from minigen.data import DataLoader
from minigen.training import Run, argument_parser, distribute, run_example

def main():
    args = argument_parser("", out="", epochs=10).parse_args()
    world, rng = distributed.start(), mg.Generator(0)
    factory = {"rng": rng, "dtype": np.float64}
    model = nn.Sequential(
        nn.Linear(4, 8, bias=False, **factory), nn.BatchNorm1d(8, dtype=np.float64), nn.Tanh(),
        nn.Dropout(0.2, rng=rng), nn.Linear(8, 4, **factory),
    )
    optimizer = distribute(mg.optim.Adam(model.parameters(), 1e-2), world, args)
    x = mg.Generator(1).normal((38, 4), dtype=np.float64)  # two rows in the last batch
    loader = DataLoader(x, 9, shuffle=True, rng=rng, world=world)
    state = {"model": model, "optimizer": optimizer, "rng": rng, "loader": loader}
    with Run(args, **state) as run:
        for _ in run.epochs():
            for rows in run.batches():
                loss = mg.mse_loss(model(mg.tensor(rows)), mg.tensor(rows))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            run.end_epoch()

run_example(main)
"""


def test_what_two_ranks_have_saved_three_go_on_with(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(IN_FLOAT64)
    words = lambda name, *flags: [str(script), "--out", str(tmp_path / name), *flags]
    alone(words("one"))
    run_ranks(words("run", "--max-seconds", "0"), 2)
    assert load_state(tmp_path / "run/checkpoint.safetensors")["step"] < 5
    run_ranks(words("run", "--resume"), 3)
    assert load_state(tmp_path / "run/checkpoint.safetensors")["step"] == 50
    assert_same(tmp_path / "run", tmp_path / "one", 1e-10)


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
