"""A captured training step does what the step itself does, bit for bit, or says that it cannot."""

import warnings

import numpy as np
import pytest
from test_gpu_models import KINDS

import minigen as mg
from minigen import study
from minigen.training import capture

STEPS = 8


class Training:
    """A model, and the step that trains it."""

    def __init__(self, name, device, read_loss=False):
        make, inputs, loss = KINDS[name]
        self.rng = mg.Generator(0)
        self.model, self.loss = make({"rng": self.rng}).to(device), loss
        self.inputs = [mg.tensor(x).to(device) for x in inputs]
        self.optimizer = mg.optim.Adam(self.model.parameters(), lr=1e-2)
        self.read_loss = read_loss

    def step(self, *inputs):
        lost = self.loss(self.model, *inputs)
        self.optimizer.zero_grad()
        lost.backward()
        self.optimizer.step()
        if self.read_loss:
            lost.item()
        return lost

    def run(self, step, steps=STEPS):
        return [step(*self.inputs).item() for _ in range(steps)]

    def state(self):
        return [p.numpy() for p in self.model.parameters()]


@pytest.mark.parametrize("name", KINDS)
def test_a_captured_step_gives_the_losses_weights_and_draws_of_the_step(name, device):
    one, two = Training(name, device), Training(name, device)
    captured = capture(two.step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert two.run(captured) == one.run(one.step)
    assert captured.recording.graph is not None
    assert two.rng.state == one.rng.state
    assert all(np.array_equal(p, q) for p, q in zip(two.state(), one.state()))


def test_a_step_that_is_observed_runs_eagerly_between_replays(device):
    one, two = Training("CNN", device), Training("CNN", device)
    captured, found = capture(two.step), []
    for training, step in ((one, one.step), (two, captured)):
        losses = training.run(step, 5)
        with study.record(values=False) as run:
            losses += training.run(step, 1)
        found.append((losses + training.run(step, 2), [s.op for s in run.steps]))
    assert found[0] == found[1] and len(found[0][1]) > 10
    assert captured.recording.graph is not None


def test_a_learning_rate_may_change_between_replays(device):
    one, two = Training("CNN", device), Training("CNN", device)
    captured, found = capture(two.step), []
    for training, step in ((one, one.step), (two, captured)):
        losses = []
        for i in range(STEPS):
            training.optimizer.param_groups[0]["lr"] = 1e-2 / (i + 1)
            losses.append(step(*training.inputs).item())
        found.append(losses)
    assert found[0] == found[1]


def test_batches_of_other_shapes_run_eagerly_in_between(device):
    one, two = Training("VAE", device), Training("VAE", device)
    captured, found = capture(two.step), []
    for training, step in ((one, one.step), (two, captured)):
        (x,) = training.inputs
        batches = [x, x, x, x, x, x[:2], x, x[:3], x]
        found.append([step(batch).item() for batch in batches])
    assert found[0] == found[1]


def test_batches_of_the_host_are_copied_to_the_recorded_place(device):
    training = Training("CNN", device)
    _, (x, y), _ = KINDS["CNN"]
    captured = capture(lambda x, y: training.loss(training.model, mg.Tensor(x), y))
    with pytest.warns(RuntimeWarning, match="no optimizer"):
        for _ in range(5):
            captured(x, y)

    one, two = Training("CNN", device), Training("CNN", device)
    captured, found = capture(lambda x, y: two.step(mg.Tensor(x), y)), [[], []]
    for i in range(STEPS):
        images = x * (i + 1) / STEPS
        found[0].append(captured(images, y).item())
        found[1].append(one.step(mg.tensor(images).to(device), mg.tensor(y).to(device)).item())
    assert found[0] == found[1]


def test_loaded_weights_and_moments_are_recorded_anew(device):
    training = Training("RNN", device)
    captured = capture(training.step)
    saved = {key: x.numpy() for key, x in training.model.state_dict().items()}
    saved_optimizer = training.optimizer.state_dict()
    first = training.run(captured, 6)
    training.model.load_state_dict({key: mg.tensor(x) for key, x in saved.items()})
    training.optimizer.load_state_dict(saved_optimizer)
    assert training.run(captured, 6) == first


def test_a_step_that_waits_for_the_device_runs_eagerly_and_says_why(device):
    one, two = Training("VAE", device), Training("VAE", device, read_loss=True)
    captured = capture(two.step)
    with pytest.warns(RuntimeWarning, match="cannot be recorded.*host.*run eagerly") as said:
        losses = two.run(captured)
    assert len(said) == 1
    assert losses == one.run(one.step)
    assert two.rng.state == one.rng.state


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "AdamW"])
def test_every_optimizer_can_be_captured(name, device):
    one, two = Training("CNN", device), Training("CNN", device)
    for training in (one, two):
        settings = {"lr": 1e-3} | ({} if name == "AdamW" else {"momentum": 0.9})
        training.optimizer = getattr(mg.optim, name)(training.model.parameters(), **settings)
    captured = capture(two.step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert two.run(captured) == one.run(one.step)
    assert captured.recording.graph is not None
    assert all(np.array_equal(p, q) for p, q in zip(two.state(), one.state()))


def test_an_optimizer_whose_settings_would_be_frozen_is_not_recorded(device):
    class OnTheHost(mg.optim.RMSprop):
        kernel = None

    training = Training("CNN", device)
    training.optimizer = OnTheHost(training.model.parameters())
    with pytest.warns(RuntimeWarning, match="OnTheHost computes on the host"):
        training.run(capture(training.step))


def test_without_a_gpu_steps_run_eagerly_and_one_warning_says_so(monkeypatch):
    monkeypatch.setattr("minigen.training.cuda_graphs.cuda_is_available", lambda: False)
    one, two = Training("CNN", "cpu"), Training("CNN", "cpu")
    with pytest.warns(RuntimeWarning, match="no GPU.*run eagerly"):
        captured = capture(two.step)
    assert two.run(captured) == one.run(one.step)


def test_an_index_out_of_range_in_a_replay_is_an_index_error_one_call_late(device):
    training = Training("GPT", device)
    captured = capture(training.step)
    training.run(captured, 6)
    x, y = training.inputs
    wrong = mg.Tensor(x.data.copy())
    wrong.data[1, 2] = 7
    captured(wrong, y)
    with pytest.raises(IndexError, match=r"embedding.*\[0, 7\).*before this one"):
        captured(x, y)
    captured(x, y)


def test_an_index_out_of_range_is_not_forgotten_while_the_host_looks_away(device, monkeypatch):
    training = Training("GPT", device)
    captured = capture(training.step)
    training.run(captured, 6)
    x, y = training.inputs
    wrong = mg.Tensor(x.data.copy())
    wrong.data[1, 2] = 7
    with monkeypatch.context() as patch:  # as where replays are enqueued before one has ended
        patch.setattr(captured.recording, "_raise_failed_check", lambda: None)
        captured(wrong, y)
        captured(x, y)
    with pytest.raises(IndexError, match="embedding"):
        captured(x, y)
    captured(x, y)


def test_a_step_that_joins_many_arrays_and_one_of_simple_recurrence_are_recorded(device):
    rng = mg.Generator(0)
    layer = mg.nn.RNN(2, 3, rng=rng).to(device)
    optimizer = mg.optim.SGD(layer.parameters(), lr=0.1)
    x = mg.Tensor(rng.normal((4, 1, 2))).to(device)

    def step(x):
        y, _ = layer(x)
        lost = mg.stack([y.sum() * i for i in range(20)]).sum()
        optimizer.zero_grad()
        lost.backward()
        optimizer.step()
        return lost

    captured = capture(step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            captured(x)
    assert captured.recording.graph is not None
