"""`Run`: training, stopping, and resuming bit for bit."""

import argparse
import json
import os
import signal
import time

import numpy as np
import pytest

import minigen as mg
from minigen import tensor_files
from minigen.data import DataLoader
from minigen.training import Run, argument_parser, checkpoint
from minigen.training.checkpoint import load_state
from minigen.training.progress import Progress


def arguments(out, **changes):
    args = argument_parser("", out=str(out), epochs=3).parse_args([])
    return argparse.Namespace(**{**vars(args), "device": "cpu", **changes})


def train(out, stop_at=None, signals=False, interrupt_at_end=False, contents=(), **changes):
    """Three epochs of a small regression; returns the model's weights."""
    rng, args = mg.Generator(0), arguments(out, **changes)
    x = rng.normal((50, 3))
    data = (x, x.sum(1, keepdims=True))
    model = mg.nn.Linear(3, 1, rng=rng).to(args.device)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
    loader = DataLoader(data, batch_size=8, shuffle=True, rng=rng, device=args.device)
    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    with Run(args, **state, contents=contents) as run:
        for _ in run.epochs():
            for x, y in run.batches():
                noisy = mg.dropout(mg.Tensor(x), 0.1, rng=rng)
                loss = mg.mse_loss(model(noisy), mg.Tensor(y))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
                if run.step == stop_at:
                    if signals:
                        os.kill(os.getpid(), signal.SIGINT)
                    else:
                        run.max_seconds = 0
            if interrupt_at_end:
                os.kill(os.getpid(), signal.SIGINT)
            run.end_epoch()
    return {name: p.numpy().copy() for name, p in model.state_dict().items()}


def train_two(out, stop_at=None, **changes):
    """Two epochs of two networks; the second learns the output of the first on noise."""
    rng = mg.Generator(0)
    linear = lambda: mg.nn.Linear(2, 1, rng=rng, dtype=np.float64)
    model = mg.nn.ModuleDict({name: linear() for name in ("teacher", "pupil")})
    optimizer = {name: mg.optim.Adam(model[name].parameters(), lr=0.05) for name in model}
    loader = DataLoader(np.arange(20), batch_size=5, shuffle=True, rng=rng)
    args = arguments(out, epochs=2, **changes)
    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    with Run(args, **state, free=["judge"]) as run:
        for _ in run.epochs():
            for _ in run.batches():
                x = mg.Tensor(rng.normal((5, 2), dtype=np.float64))
                target, output = model["teacher"](x), model["pupil"](x)
                for name, loss in (
                    ("pupil", mg.mse_loss(output, target.detach())),
                    ("teacher", mg.mse_loss(target, x[:, :1])),
                ):
                    optimizer[name].step(mg.grad(loss, optimizer[name].params))
                    run.record(**{name: loss})
                run.max_seconds = 0 if run.step == stop_at else run.max_seconds
            run.end_epoch()
    return {name: p.data.copy() for name, p in model.state_dict().items()}


def metrics(out):
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("stop_at", [0, 3, 6, 7, 15])
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, stop_at):
    uninterrupted = train(tmp_path / "a")
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "b", stop_at=stop_at)
    assert stop.value.code == 0
    assert same(uninterrupted, train(tmp_path / "b", resume=True))
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


def test_ctrl_c_finishes_the_step_saves_and_exits_with_130(tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT)
    uninterrupted = train(tmp_path / "a")
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "b", stop_at=9, signals=True)
    assert stop.value.code == 130
    assert load_state(tmp_path / "b/checkpoint.safetensors")["step"] == 10
    assert "Ctrl-C again" in capsys.readouterr().out
    assert same(uninterrupted, train(tmp_path / "b", resume=True))
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("stop_at", [0, 3, 6])
def test_two_networks_with_two_optimizers_resume_bit_for_bit(tmp_path, stop_at):
    uninterrupted = train_two(tmp_path / "a", judge="one")
    with pytest.raises(SystemExit):
        train_two(tmp_path / "b", stop_at=stop_at, judge="one")
    state = load_state(tmp_path / "b/checkpoint.safetensors")
    assert {"teacher_optimizer", "pupil_optimizer"} < state.keys()
    assert "judge" not in state["config"]
    assert same(uninterrupted, train_two(tmp_path / "b", resume=True, judge="another"))
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


def test_resuming_with_other_settings_or_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(mg.errors.CheckpointError, match="no such file"):
        train(tmp_path, resume=True)
    train(tmp_path)
    with pytest.raises(mg.errors.CheckpointError, match="seed: 0 then, 5 now"):
        train(tmp_path, resume=True, seed=5)


def test_a_mean_is_over_the_steps_that_recorded_the_value_also_after_a_stop(tmp_path):
    def alternate(stop_at=None, **changes):
        model, rng = mg.nn.Linear(1, 1), mg.Generator(0)
        parts = {"optimizer": mg.optim.SGD(model.parameters(), lr=1), "rng": rng}
        loader = DataLoader(np.arange(5), batch_size=1)
        with Run(arguments(tmp_path, **changes), model=model, loader=loader, **parts) as run:
            for _ in run.epochs():
                for (step,) in run.batches():
                    run.record(**{"even" if step % 2 == 0 else "odd": step})
                    if run.step == stop_at:
                        run.max_seconds = 0
                run.end_epoch()

    with pytest.raises(SystemExit):
        alternate(stop_at=2)
    alternate(resume=True)
    assert [(row["even"], row["odd"]) for row in metrics(tmp_path)] == [(2, 2)] * 3


def test_each_epoch_is_printed_and_written_to_the_metrics(tmp_path, capsys):
    train(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:11] for line in lines] == ["epoch   1/3", "epoch   2/3", "epoch   3/3"]
    assert max(map(len, lines)) < 60
    losses = [row["loss"] for row in metrics(tmp_path)]
    assert losses[0] > losses[1] > losses[2]


def test_two_hundred_steps_repeat_bit_for_bit(tmp_path):
    assert same(train(tmp_path / "a", epochs=29), train(tmp_path / "b", epochs=29))


def test_resuming_with_other_flags_or_data_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(mg.errors.CheckpointError, match=r"epochs: 3 then, 5 now"):
        train(tmp_path, epochs=5, resume=True)  # a schedule may depend on the number of epochs
    with pytest.raises(mg.errors.CheckpointError, match=r"contents: [0-9a-f]+ then, [0-9a-f]+ now"):
        train(tmp_path, contents=["a text", np.ones(3)], resume=True)


def test_a_checkpoint_of_another_example_is_refused(tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.setattr("sys.argv", ["examples/other.py"])
    with pytest.raises(mg.errors.CheckpointError, match=r"is of .*, not of other"):
        train(tmp_path, resume=True)


def test_damaged_metrics_are_rewritten_from_the_checkpoint(tmp_path):
    train(tmp_path)
    path = tmp_path / "metrics.jsonl"
    before = path.read_text()
    rows = before.splitlines(keepends=True)
    for damaged in ("".join(rows[:-1]), before[:-9], "", "not JSON", before + rows[0]):
        path.write_text(damaged)
        train(tmp_path, resume=True)
        assert path.read_text() == before


@pytest.mark.parametrize("file", ["metrics.jsonl", "checkpoint.safetensors"])
def test_a_run_killed_between_the_two_files_of_a_save_can_resume(tmp_path, monkeypatch, file):
    """For each of the two files, in each of the saves of a run."""
    uninterrupted = train(tmp_path / "a")
    write = tensor_files.replace_file
    for number in range(2):
        left = [number]

        def dies(path, *args, left=left, **named):
            if path.name == file:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt("not handled by the run, so as final as a kill")
            write(path, *args, **named)

        out = tmp_path / f"{number}"
        with pytest.raises(SystemExit):
            train(out, stop_at=3)
        monkeypatch.setattr(tensor_files, "replace_file", dies)
        with pytest.raises(KeyboardInterrupt):
            train(out, stop_at=number and 9, resume=number, overwrite=not number)
        monkeypatch.undo()
        assert same(uninterrupted, train(out, resume=True))
        assert metrics(tmp_path / "a") == metrics(out)


def test_a_state_that_does_not_fit_the_run_is_refused_and_nothing_changes(tmp_path):
    train(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    state = load_state(path)
    for changes, says in (
        ({"rng": None}, "does not fit this run"),
        ({"optimizer": {}}, "it lacks 'param_groups'"),
        ({"optimizer": {**state["optimizer"], "state": []}}, "the state is of 0 parameters"),
        ({"model": {}}, "weight is missing; bias is missing"),
        ({"loader": {**state["loader"], "examples": 51}}, "examples is 51, not 50"),
    ):
        checkpoint.save_state(path, {**state, **changes})
        with pytest.raises(mg.errors.CheckpointError, match=f"{path.name}.*{says}"):
            train(tmp_path, resume=True)
    rng = mg.Generator(0)
    model = mg.nn.Linear(3, 1, rng=rng)
    loader = DataLoader(np.zeros(50), batch_size=8, shuffle=True, rng=rng)
    progress = Progress(model, mg.optim.Adam(model.parameters()), rng, loader)
    before = model.weight.data.copy()
    with pytest.raises(mg.errors.CheckpointError, match="lacks 'history'"):
        progress.load_state_dict({k: v for k, v in state.items() if k != "history"})
    assert np.array_equal(model.weight.data, before)


def test_saving_takes_one_percent_of_the_time_but_the_last_epoch_is_saved(tmp_path, monkeypatch):
    saved = []
    write = checkpoint.save_state

    def slow(path, state):
        saved.append(state["epoch"])
        time.sleep(0.02)
        write(path, state)

    monkeypatch.setattr(checkpoint, "save_state", slow)
    train(tmp_path, epochs=9)
    assert saved == [1, 9]
    assert len(metrics(tmp_path)) == 9


def test_a_temporarily_full_disk_does_not_end_the_training(tmp_path, monkeypatch, capsys):
    full = [True, True]
    write = tensor_files.replace_file

    def replace_file(path, *args, **named):
        if full and full.pop():
            raise mg.errors.CheckpointError(f"{path}: cannot be written")
        write(path, *args, **named)

    uninterrupted = train(tmp_path / "a")
    monkeypatch.setattr(tensor_files, "replace_file", replace_file)
    assert same(uninterrupted, train(tmp_path / "b"))
    assert capsys.readouterr().out.count("not saved, training goes on: ") == 2
    assert same(uninterrupted, train(tmp_path / "b", resume=True))
    full += [True] * 3
    with pytest.raises(mg.errors.CheckpointError):  # the save after the last epoch must succeed
        train(tmp_path / "c")


def test_ctrl_c_after_the_last_step_saves_and_exits_with_130(tmp_path):
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "b", interrupt_at_end=True)
    assert stop.value.code == 130
    assert len(metrics(tmp_path / "b")) == 1
    assert same(train(tmp_path / "a"), train(tmp_path / "b", resume=True))
