"""Layers of images against PyTorch's, from fixtures; their start and what they refuse."""

import math
from pathlib import Path

import numpy as np
import pytest
from image_layers import LAYERS, STEPS, conv_net

import minigen as mg
from minigen import nn
from minigen.errors import ShapeError

FIXTURES = Path(__file__).parent / "fixtures"
RNG = mg.Generator(0)


def below(name, found):
    """The entries under a name, without it."""
    return {k.removeprefix(f"{name}."): v for k, v in found.items() if k.startswith(f"{name}.")}


def check(layer, saved):
    """Calls in training mode, then one in evaluation mode: all that PyTorch computed."""

    def close(got, want, what):
        assert got.shape == want.shape and got.dtype == want.dtype, what
        assert np.abs(got.data - want).max(initial=0) < 1e-12, what

    layer.to(np.float64)
    before = below("before", saved)
    assert set(layer.state_dict()) == set(before)
    layer.load_state_dict(before)
    for step in range(STEPS + 1):
        layer.train(step < STEPS).zero_grad()
        want = below(str(step), saved)
        x = mg.tensor(want["x"], requires_grad=True)
        y = layer(x)
        y.backward(want["g"])
        close(y, want["y"], f"output {step}")
        close(x.grad, want["gx"], f"gradient {step}")
        for name, p in layer.named_parameters():
            close(p.grad, want[f"grad.{name}"], f"gradient {step} of {name}")
    for name, want in below("after", saved).items():
        close(layer.state_dict()[name], want, name)


@pytest.fixture(scope="module")
def layers():
    return {k: v.data for k, v in mg.load(FIXTURES / "image_layers.safetensors").items()}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_what_pytorchs_does(name, layers):
    kind, args, _ = LAYERS[name]
    check(getattr(nn, kind)(*args), below(name, layers))


def test_a_net_computes_what_pytorchs_does_in_training_and_in_evaluation():
    saved = {k: v.data for k, v in mg.load(FIXTURES / "image_net.safetensors").items()}
    check(conv_net(nn), saved)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Conv2d(8, 32, (3, 5), groups=2, rng=RNG), 4 * 15),
        (nn.Conv1d(16, 64, 5, rng=RNG), 80),
        (nn.ConvTranspose2d(32, 16, 3, groups=2, rng=RNG), 8 * 9),  # out / groups, as PyTorch's
    ],
    ids=lambda value: type(value).__name__,
)
def test_convolutions_start_uniform_in_one_over_the_root_of_fan_in(layer, fan_in):
    bound = 1 / math.sqrt(fan_in)
    for p in (layer.weight, layer.bias):
        assert p.dtype == np.float32
        assert 0.8 * bound < np.abs(p.data).max() <= bound
    assert abs(layer.weight.data.std() - bound / math.sqrt(3)) < 0.05 * bound
    same = [nn.Conv2d(2, 3, 2, rng=mg.Generator(1)).weight.data for _ in range(2)]
    assert np.array_equal(*same)


def test_batch_norm_counts_its_batches_in_int64_and_keeps_float32():
    layer = nn.BatchNorm2d(3)
    for _ in range(3):
        assert layer(mg.Tensor(RNG.normal((4, 3, 2, 2)))).dtype == np.float32
    assert layer.num_batches_tracked.item() == 3
    assert layer.num_batches_tracked.dtype == np.int64
    assert layer.running_mean.dtype == layer.running_var.dtype == np.float32
    before = layer.running_var.data.copy()
    layer.eval()(mg.Tensor(RNG.normal((4, 3, 2, 2))))
    assert layer.num_batches_tracked.item() == 3
    assert np.array_equal(layer.running_var.data, before)


def test_layers_refuse_what_they_cannot_be_or_take():
    with pytest.raises(ValueError, match="Conv2d: groups=2 must divide in_channels=3"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="Conv1d: kernel_size must be a whole number, at least 1"):
        nn.Conv1d(3, 4, (3, 3))
    with pytest.raises(ValueError, match="GroupNorm: num_groups=3 must divide num_channels=4"):
        nn.GroupNorm(3, 4)
    with pytest.raises(ShapeError, match="BatchNorm2d: x must have 4 dims"):
        nn.BatchNorm2d(3)(mg.ones((2, 3)))
    with pytest.raises(ShapeError, match="BatchNorm1d: x must have 2 or 3 dims"):
        nn.BatchNorm1d(3)(mg.ones((2, 3, 4, 4)))


def test_a_summary_counts_the_work_of_convolutions():
    model = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.ConvTranspose2d(4, 2, 3, bias=False))
    rows = [line.split() for line in nn.summary(model, mg.ones((1, 2, 5, 5))).splitlines()]
    work = f"{2 * 4 * 9 * 2 * 9:,}"  # 2 * filters * places * channels * kernel, both ways
    assert rows[2][-2] == rows[3][-2] == work


def test_layers_show_their_settings():
    assert repr(nn.Conv2d(1, 4, 3, padding=1)) == (
        "Conv2d(1, 4, kernel_size=(3, 3), padding=(1, 1), bias=True)"
    )
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0)"
    assert repr(nn.Upsample(2)) == "Upsample(scale_factor=2)"
