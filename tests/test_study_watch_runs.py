"""--watch: a run writes watch.jsonl and watch.png, and is otherwise the same."""

import argparse
import json
import os
import runpy
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from watched_nets import linear, small_net, train

import minigen as mg
from minigen import nn, study
from minigen.training import Run, argument_parser


def test_figures_of_nothing_of_one_step_and_of_forty_layers(tmp_path):
    rng = mg.Generator(0)
    watch = study.watch(small_net(rng))
    assert watch.figure(tmp_path / "none.png").path.stat().st_size > 1000
    net = nn.Sequential(*(layer for _ in range(20) for layer in (linear(6, 6, rng), nn.Tanh())))
    watch = train(net, 1, rng)
    assert len(watch.rows) == 40
    picture = watch.figure(tmp_path / "forty.png")
    assert picture._repr_png_()[:4] == b"\x89PNG"


@pytest.fixture
def no_figures(monkeypatch):
    """Rows alone: a figure at each save would take most of a test's time."""
    monkeypatch.setattr(study.Watch, "figure", lambda watch, path: None)


def run(out, steps=(6, 6), **changes):
    """A run of two epochs of a small regression; returns its weights."""
    args = argument_parser("", out=str(out), epochs=2).parse_args([])
    args = argparse.Namespace(**{**vars(args), "device": "cpu", "watch": True, **changes})
    stop_at = changes.get("stop_at")
    rng = mg.Generator(0)
    net = nn.Sequential(linear(3, 8, rng), nn.ReLU(), linear(8, 1, rng))
    if changes.get("broken"):
        net[0].bias.data[...] = -100
    adam = mg.optim.Adam(net.parameters(), lr=0.01)
    for name in ("stop_at", "broken"):
        vars(args).pop(name, None)
    with Run(args, model=net, optimizer=adam, rng=rng) as current:
        if current.watched.watch is not None:
            current.watched.watch.every = 4
        for _ in current.epochs():
            for _ in current.steps(6):
                x = mg.Tensor(rng.normal((16, 3)))
                loss = mg.mean(mg.square(net(x)[:, 0] - x[:, 0]))
                adam.zero_grad()
                loss.backward()
                adam.step()
                current.record(loss=loss)
                if current.step == stop_at:
                    os.kill(os.getpid(), signal.SIGINT)
            current.end_epoch()
    return [p.data.copy() for p in net.parameters()]


def lines(out):
    return [json.loads(line) for line in (out / "watch.jsonl").read_text().splitlines()]


def test_a_watched_run_writes_its_files_and_the_same_weights(tmp_path):
    watched, plain = run(tmp_path / "a"), run(tmp_path / "b", watch=False)
    assert all(np.array_equal(x, y) for x, y in zip(watched, plain))
    assert {line["step"] for line in lines(tmp_path / "a")} == {1, 4, 8, 12}
    assert (tmp_path / "a/watch.png").read_bytes()[:4] == b"\x89PNG"
    assert not (tmp_path / "b/watch.jsonl").exists()


def test_a_run_that_is_stopped_and_resumed_has_the_rows_of_one_that_is_not(
    tmp_path, capsys, no_figures
):
    run(tmp_path / "whole", broken=True)
    with pytest.raises(SystemExit):
        run(tmp_path / "parts", broken=True, stop_at=6)
    run(tmp_path / "parts", broken=True, resume=True)
    whole, parts = lines(tmp_path / "whole"), lines(tmp_path / "parts")
    key = lambda line: (line["step"], line["layer"], "warning" in line)
    assert sorted(whole, key=key) == sorted(parts, key=key)
    assert capsys.readouterr().out.count("layer 1 has died") == 2  # once for each run


def test_a_run_is_watched_from_where_it_is_resumed(tmp_path, no_figures):
    with pytest.raises(SystemExit):
        run(tmp_path, watch=False, stop_at=5)
    run(tmp_path, resume=True)
    assert {line["step"] for line in lines(tmp_path)} == {8, 12}


def test_a_damaged_file_of_rows_stops_no_run(tmp_path, capsys, no_figures):
    with pytest.raises(SystemExit):
        run(tmp_path, stop_at=5)
    (tmp_path / "watch.jsonl").write_text("{broken\n")
    run(tmp_path, resume=True)
    assert "cannot be read" in capsys.readouterr().out
    assert {line["step"] for line in lines(tmp_path)} == {8, 12}


def test_an_example_is_watched_by_its_flag(tmp_path, monkeypatch, capsys):
    script = str(Path(__file__).parent.parent / "examples/table.py")
    flags = ["--epochs", "1", "--hidden", "8", "--device", "cpu", "--watch", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [script, *flags])
    runpy.run_path(script, run_name="__main__")
    assert {"watch.jsonl", "watch.png"} <= {path.name for path in tmp_path.iterdir()}
    assert not any("warning" in line for line in lines(tmp_path))
    assert "step 1:" not in capsys.readouterr().out
