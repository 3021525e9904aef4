"""`Run.steps`: epochs of a number of steps, without a data loader."""

import argparse

import numpy as np
import pytest

import minigen as mg
from minigen.training import Run, argument_parser


def train(out, n=4, stop_at=None, spoil_at=None, **changes):
    """Two epochs of n steps on drawn data; returns the numbers of the steps, and the weights."""
    args = argument_parser("", out=str(out), epochs=2).parse_args([])
    args = argparse.Namespace(**{**vars(args), "device": "cpu", **changes})
    rng = mg.Generator(0)
    model = mg.nn.Linear(3, 1, rng=rng, dtype=np.float64)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.1)
    taken = []
    with Run(args, model=model, optimizer=optimizer, rng=rng) as run:
        for epoch in run.epochs():
            for step in run.steps(n):
                taken.append((epoch, step))
                x = mg.Tensor(rng.normal((5, 3), dtype=np.float64))
                loss = mg.mse_loss(model(x), x.sum(axis=1, keepdims=True))
                if run.step + 1 == spoil_at:
                    loss = mg.log(loss - loss - 1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
                run.max_seconds = 0 if run.step == stop_at else run.max_seconds
            run.end_epoch()
    return taken, model.weight.numpy().copy()


def test_an_epoch_has_the_steps_that_were_asked_for(tmp_path):
    taken, _ = train(tmp_path)
    assert taken == [(epoch, step) for epoch in (1, 2) for step in range(4)]


@pytest.mark.parametrize("stop_at", [0, 2, 3, 4, 6])
def test_a_run_that_stopped_goes_on_with_the_steps_that_were_left(tmp_path, stop_at):
    whole, weight = train(tmp_path / "a")
    with pytest.raises(SystemExit):
        train(tmp_path / "b", stop_at=stop_at)
    rest, resumed = train(tmp_path / "b", resume=True)
    assert rest == whole[stop_at + 1 :]
    assert np.array_equal(weight, resumed)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_op_that_gives_the_first_nan_is_found_without_a_loader(tmp_path):
    with pytest.raises(FloatingPointError, match="loss is nan at step 6: in step 6 op 'log'"):
        train(tmp_path, spoil_at=6)


def test_no_steps_make_an_empty_epoch(tmp_path):
    taken, _ = train(tmp_path, n=0)
    assert not taken
