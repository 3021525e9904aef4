"""A run with a NaN or infinity stops, names the op that computed it, and keeps a good state."""

import argparse
import os
import subprocess
import sys

import numpy as np
import pytest

import minigen as mg
from minigen.data import DataLoader
from minigen.training import Run, argument_parser
from minigen.training.checkpoint import load_state


@pytest.fixture(autouse=True)
def quiet():
    """Silence NumPy's own warnings."""
    with np.errstate(all="ignore"):
        yield


def arguments(out, **changes):
    args = argument_parser("", out=str(out), epochs=3).parse_args([])
    return argparse.Namespace(**{**vars(args), "device": "cpu", **changes})


class Training:
    """Three epochs of seven steps; fault(step, x, y, loss) returns the loss that a step uses."""

    def __init__(self, out, fault=lambda step, x, y, loss: loss, **changes):
        self.rng = mg.Generator(0)
        x = self.rng.normal((50, 3))
        self.model = mg.nn.Linear(3, 1, rng=self.rng)
        optimizer = mg.optim.Adam(self.model.parameters(), lr=0.05)
        data = (x, x.sum(1, keepdims=True))
        loader = DataLoader(data, batch_size=8, shuffle=True, rng=self.rng)
        self.fault, self.optimizer, self.taken = fault, optimizer, []
        parts = {"model": self.model, "optimizer": optimizer, "loader": loader, "rng": self.rng}
        self.run = Run(arguments(out, **changes), **parts)

    def train(self):
        with self.run as run:
            for _ in run.epochs():
                for x, y in run.batches():
                    self.taken.append(run.step + 1)
                    noisy = mg.dropout(mg.Tensor(x), 0.1, rng=self.rng)
                    loss = mg.mse_loss(self.model(noisy), mg.Tensor(y))
                    loss = self.fault(run.step + 1, noisy, y, loss)
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    run.record(loss=loss)
                run.end_epoch()
        return self.model.weight.data.copy()


def log_at(faulty):
    return lambda step, x, y, loss: mg.log(loss - loss - 1) if step == faulty else loss


def sqrt_at(faulty):
    """A finite loss with an infinite gradient: the derivative of sqrt at 0."""
    return lambda step, x, y, loss: loss + mg.sqrt(loss - loss) if step == faulty else loss


LOG_LINE = f"{__file__}:{log_at.__code__.co_firstlineno + 1}"
SQRT_LINE = f"{__file__}:{sqrt_at.__code__.co_firstlineno + 2}"


@pytest.mark.parametrize("faulty", [1, 4, 7, 8, 11, 21])
def test_a_nonfinite_loss_is_reported_with_step_op_and_source_line(tmp_path, faulty):
    training = Training(tmp_path, log_at(faulty))
    with pytest.raises(FloatingPointError) as caught:
        training.train()
    message = str(caught.value)
    for part in (f"loss is nan at step {faulty}: in step {faulty} op 'log'", LOG_LINE):
        assert part in message
    if faulty > 7:
        assert message.endswith(f"the last good state is in {tmp_path / 'checkpoint.safetensors'}")
        state = load_state(tmp_path / "checkpoint.safetensors")
        assert state["step"] == 7 * ((faulty - 1) // 7)
        assert all(np.isfinite(value).all() for value in state["model"].values())
        Training(tmp_path, resume=True).train()
    else:
        assert "last good state" not in message  # this run has saved none
        assert not (tmp_path / "checkpoint.safetensors").exists()


def beside_a_mask(fault):
    """A fault in a step that has the -inf of a mask in it, too."""

    def masked(step, x, y, loss):
        scores = mg.where(np.tri(3, dtype=bool), x.T @ x, -np.inf)
        return fault(step, x, y, loss + mg.softmax(scores)[0, 0])

    return masked


def overflow_at(faulty):
    return lambda step, x, y, loss: mg.exp(loss * 1e6) if step == faulty else loss


@pytest.mark.parametrize(
    ("op", "fault"), [("log", log_at), ("exp", overflow_at), ("sqrt", sqrt_at)]
)
def test_the_mask_of_attention_is_not_named_for_what_another_op_did(tmp_path, op, fault):
    with pytest.raises(FloatingPointError, match=f"in step 4 .*op '{op}'") as caught:
        Training(tmp_path, beside_a_mask(fault(4))).train()
    assert f"{__file__}:" in str(caught.value) and "'where'" not in str(caught.value)


@pytest.mark.parametrize("faulty", [4, 7, 14, 21])
def test_a_nonfinite_gradient_of_a_finite_loss_is_found_in_the_step_before(tmp_path, faulty):
    with pytest.raises(FloatingPointError) as caught:
        Training(tmp_path, sqrt_at(faulty)).train()
    message = str(caught.value)
    seen = "weight has values that are not finite" if faulty % 7 == 0 else "loss is nan"
    found = faulty if faulty % 7 == 0 else faulty + 1
    assert message.startswith(
        f"{seen} at step {found}: in step {faulty} the derivative of op 'sqrt'"
    )
    assert SQRT_LINE in message


def test_only_a_nonfinite_run_repeats_steps(tmp_path):
    good, bad = Training(tmp_path / "a"), Training(tmp_path / "b", log_at(10))
    good.train()
    with pytest.raises(FloatingPointError):
        bad.train()
    assert good.taken == list(range(1, 22))
    assert bad.taken == [*range(1, 11), 8, 9, 10, 8, 9, 10]


def test_a_resumed_run_repeats_from_the_step_where_it_was_resumed(tmp_path):
    first = Training(tmp_path)
    first.fault = lambda step, x, y, loss: (
        setattr(first.run.interrupts, "requested", step == 9) or loss
    )
    with pytest.raises(SystemExit):
        first.train()
    again = Training(tmp_path, log_at(11), resume=True)
    with pytest.raises(FloatingPointError, match="nan at step 11: in step 11 op 'log'"):
        again.train()
    assert again.taken == [10, 11] * 3
    assert load_state(tmp_path / "checkpoint.safetensors")["step"] == 9


def test_a_nonfinite_new_run_keeps_the_checkpoint_of_an_old_one(tmp_path):
    Training(tmp_path).train()
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(FloatingPointError):
        Training(tmp_path, log_at(3), overwrite=True).train()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_nan_that_no_op_computed_is_reported_as_such(tmp_path):
    training = Training(tmp_path)
    record = training.run.record
    training.run.record = lambda loss: record(loss=loss if training.taken[-1] != 9 else np.nan)
    with pytest.raises(FloatingPointError, match="loss is nan at step 9: in step 9 every op gave"):
        training.train()


def test_a_nan_that_does_not_recur_stops_the_run_too(tmp_path):
    training = Training(tmp_path)
    once = lambda step: step if training.taken.count(9) == 1 else None
    training.fault = lambda step, *rest: log_at(9)(once(step), *rest)
    with pytest.raises(FloatingPointError, match="step 9: in step 9 it did not come again"):
        training.train()


def test_a_state_with_nonfinite_weights_is_not_saved(tmp_path):
    training = Training(tmp_path)
    training.model.weight.data[0, 0] = np.inf
    with pytest.raises(FloatingPointError, match=r"weight has values .* not finite.* is not saved"):
        training.run.save()
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_nonfinite_number_recorded_outside_a_step_raises_at_once(tmp_path):
    with pytest.raises(FloatingPointError, match="loss is inf at step 1"):
        Training(tmp_path).run.record(loss=np.inf)


def test_a_nonfinite_example_ends_with_one_sentence_and_exit_code_1(tmp_path):
    script = tmp_path / "example.py"
    script.write_text(
        "import sys\n"
        "from test_training_trouble import Training, log_at\n"
        "from minigen.training import run_example\n"
        "run_example(Training(sys.argv[1], log_at(9)).train)\n"
    )
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("FloatingPointError: loss is nan at step 9: in step 9 op 'log'")
    assert "Traceback" not in done.stderr
